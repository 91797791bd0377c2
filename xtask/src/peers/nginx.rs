//! nginx with `least_conn`.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_envoy::process::free_address;

use crate::failure::Failure;
use crate::peers::process::Process;
use crate::race::{Fleet, WORKERS};
use crate::repo::Repo;

/// The version of the nginx that `setup --peers` unpacked, else of the one on the path; `None` without either.
pub(super) fn version(repo: &Repo) -> Option<String> {
    let output = Command::new(binary(repo)).arg("-v").output().ok()?;
    // It says so on standard error: `nginx version: nginx/1.22.1`.
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(text.trim().rsplit_once('/')?.1.to_owned())
}

pub(super) fn start(repo: &Repo, fleet: &Fleet) -> Result<Process, Failure> {
    let directory = tempfile::tempdir()?;
    let listen = free_address()?;
    let configuration = directory.path().join("nginx.conf");
    fs::write(
        &configuration,
        render(listen, &fleet.addresses, directory.path()),
    )?;
    let mut command = Command::new(binary(repo));
    command
        .arg("-p")
        .arg(directory.path())
        .arg("-c")
        .arg(configuration);
    Process::start(&mut command, directory, listen, "/health", |_| true)
}

fn binary(repo: &Repo) -> PathBuf {
    let installed = repo.tools().join("bin/nginx");
    if installed.exists() {
        installed
    } else {
        PathBuf::from("nginx")
    }
}

/// The configuration. As many workers as Envoy has; `zone` lets them count connections together; bodies are held in
/// memory and answers pass unbuffered, as token streams must.
fn render(listen: SocketAddr, hosts: &[SocketAddr], directory: &Path) -> String {
    let directory = directory.display();
    let mut text = format!(
        "daemon off;\nworker_processes {WORKERS};\npid {directory}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 4096; }}\nhttp {{\n  access_log off;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "  {kind}_temp_path {directory}/{kind};");
    }
    text.push_str("  upstream pool {\n    zone pool 256k;\n    least_conn;\n");
    for host in hosts {
        let _ = writeln!(text, "    server {host};");
    }
    let _ = write!(
        text,
        "    keepalive 256;\n  }}\n  server {{\n    listen {listen};\n    client_max_body_size 64m;\n    \
         client_body_buffer_size 1m;\n    location / {{\n      proxy_pass http://pool;\n      proxy_http_version 1.1;\n      \
         proxy_set_header Connection \"\";\n      proxy_buffering off;\n      proxy_read_timeout 3600s;\n    }}\n  }}\n}}\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_is_in_one_least_conn_pool_that_workers_share() {
        let hosts = ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
        let text = render("127.0.0.1:80".parse().unwrap(), &hosts, Path::new("/d"));
        for line in [
            "listen 127.0.0.1:80;",
            "server 127.0.0.1:1;",
            "server [::1]:2;",
            "least_conn;",
            "zone pool 256k;",
            "proxy_buffering off;",
            "pid /d/nginx.pid;",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        // `keepalive` must follow the balancing method.
        assert!(text.find("least_conn") < text.find("keepalive"));
    }
}
