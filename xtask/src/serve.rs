//! `cargo xtask serve`: Envoy with Plimsoll in front of your servers, in the foreground.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use plimsoll_core::config::Config;
use plimsoll_envoy::process::wait_for;
use plimsoll_envoy::{
    AccessLog, Admin, Envoy, EnvoyBinary, HealthCheck, Host, Jwt, Launch, Options, Policy, Tls,
    render,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::interrupt;
use crate::repo::Repo;
use crate::{setup, wasm};

/// How often the running Envoy and the interrupt flag are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Your inference servers, ip:port,ip:port,…
    #[arg(long, value_delimiter = ',', required = true, value_parser = host)]
    hosts: Vec<SocketAddr>,
    /// Where clients connect
    #[arg(long, default_value = "127.0.0.1:10000")]
    listen: SocketAddr,
    /// Serves TLS with this certificate chain (PEM)
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert (PEM)
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Turns clients away that show no certificate of these authorities (PEM)
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Clients must bring a token of this issuer (`iss`)
    #[arg(long, requires = "jwt_keys", value_name = "ISSUER")]
    jwt_issuer: Option<String>,
    /// Keys that --jwt-issuer signs with (JSON Web Key Set)
    #[arg(long, requires = "jwt_issuer", value_name = "FILE")]
    jwt_keys: Option<PathBuf>,
    /// Puts Envoy's admin (metrics, /ready) on this TCP address; without it, on a private socket
    #[arg(long)]
    admin: Option<SocketAddr>,
    /// Worker threads of Envoy
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    concurrency: u32,
    /// Other proxies ask here what this one does; a private address
    #[arg(long, value_name = "IP:PORT")]
    exchange_listen: Option<SocketAddr>,
    /// The exchange listeners of all proxies of the pool, this one's too if you like, ip:port,ip:port,…
    #[arg(long, value_delimiter = ',', value_parser = host)]
    exchange_peers: Vec<SocketAddr>,
    /// Plimsoll's configuration (JSON); without it, everything is discovered
    #[arg(long)]
    config: Option<PathBuf>,
    /// Path of the health check on your servers; any answer below 500 counts as alive
    #[arg(long, default_value = "/health")]
    health_path: String,
    /// Writes the access log here, one JSON object a line
    #[arg(long)]
    access_log: Option<PathBuf>,
    /// Loads the filter through this watched file: rename another over it to swap module or configuration
    #[arg(long)]
    hot_swap: Option<PathBuf>,
    /// Prints Envoy's configuration and runs nothing
    #[arg(long)]
    print: bool,
}

fn host(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write ip:port or [ip]:port; the header that names the chosen host holds addresses, no names"
            .to_owned()
    })
}

pub(crate) fn run(repo: &Repo, args: &Args) -> Result<(), Failure> {
    let configuration = configuration(args)?;
    let mut options = Options {
        listen: args.listen,
        tls: tls(args),
        jwt: jwt(args),
        hosts: args.hosts.iter().copied().map(Host::from).collect(),
        policy: Policy::Plimsoll,
        module: repo.module(),
        configuration,
        hot_swap: args.hot_swap.clone(),
        exchange: args.exchange_listen,
        health_check: HealthCheck::Http(args.health_path.clone()),
        access_log: args
            .access_log
            .clone()
            .map_or(AccessLog::Off, AccessLog::File),
        ..Options::default()
    };
    if let Some(address) = args.admin {
        options.admin = Admin::Tcp(address);
    }
    if args.print {
        println!("{}", render(&options));
        if !options.module.is_file() {
            let module = options.module.display();
            eprintln!("note: {module} is not built yet: cargo xtask wasm");
        }
        if let Some(file) = &options.hot_swap {
            let file = file.display();
            eprintln!(
                "note: Envoy reads the filter from {file}, which `serve` without --print writes"
            );
        }
        return Ok(());
    }
    setup::basics(repo)?;
    options.module = wasm::build(repo)?;
    let directory = Envoy::directory()?;
    if args.admin.is_none() {
        options.admin = Admin::private(directory.path());
    }
    foreground(repo, args, options, directory)
}

fn tls(args: &Args) -> Option<Tls> {
    Some(Tls {
        certificate: args.tls_cert.clone()?,
        key: args.tls_key.clone()?,
        client_authorities: args.tls_client_ca.clone(),
    })
}

fn jwt(args: &Args) -> Option<Jwt> {
    Some(Jwt {
        issuer: args.jwt_issuer.clone()?,
        keys: args.jwt_keys.clone()?,
    })
}

/// The module's configuration, checked by the module's own code before Envoy sees it.
fn configuration(args: &Args) -> Result<String, Failure> {
    let (source, text) = match &args.config {
        None => ("the configuration".to_owned(), "{}".to_owned()),
        Some(path) => {
            let source = path.display().to_string();
            let text = fs::read_to_string(path)
                .map_err(|error| Failure::new(format!("{source}: {error}")))?;
            (source, text)
        }
    };
    let text = with_peers(text, &args.exchange_peers);
    match Config::parse(text.as_bytes()) {
        Ok(_) => Ok(text),
        Err(errors) => Err(Failure::new(format!("{source} is refused:\n{errors}"))),
    }
}

/// `text` with `exchange.peers` set to `peers`, where there are any. What is no JSON object is for the module to refuse.
fn with_peers(text: String, peers: &[SocketAddr]) -> String {
    if peers.is_empty() {
        return text;
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(mut value)
            if value.get("exchange").is_none_or(Value::is_object) && value.is_object() =>
        {
            value["exchange"]["peers"] = json!(peers);
            value.to_string()
        }
        _ => text,
    }
}

fn foreground(
    repo: &Repo,
    args: &Args,
    options: Options,
    directory: tempfile::TempDir,
) -> Result<(), Failure> {
    let binary = EnvoyBinary::find(repo.root())?;
    let admin = match &options.admin {
        Admin::Tcp(address) => format!("http://{address}"),
        Admin::Unix(path) => format!("unix:{}", path.display()),
    };
    let launch = Launch {
        binary: &binary,
        options,
        concurrency: args.concurrency,
        log_level: "warning",
        log: Some(Stdio::inherit()),
        shared_group: false,
    };
    let mut envoy = Envoy::spawn(launch, directory)?;
    let mut announced = false;
    loop {
        if interrupt::requested() {
            envoy.stop()?;
            eprintln!("stopped");
            return Ok(());
        }
        if let Some(status) = wait_for(LOOK, || envoy.ended().transpose()) {
            return Err(Failure::new(format!("Envoy ended: {}", status?)));
        }
        if !announced && envoy.ready() {
            announced = true;
            println!(
                "routing {}://{} to {} hosts; admin {admin}",
                if args.tls_cert.is_some() {
                    "https"
                } else {
                    "http"
                },
                args.listen,
                args.hosts.len()
            );
        }
    }
}
