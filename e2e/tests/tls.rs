//! TLS between clients and Envoy, with and without certificates of clients. The `openssl` command makes the certificates
//! and is the client.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plimsoll_e2e::{Engines, Setting, Stand};
use plimsoll_envoy::Tls;
use tempfile::TempDir;

/// A certificate that is its own authority, and its key, in `directory`.
pub(crate) fn certify(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (
        directory.join(format!("{name}.pem")),
        directory.join(format!("{name}.key")),
    );
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "1"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", &format!("/CN={name}")])
        .args(["-addext", &format!("subjectAltName=DNS:{name}")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{made:?}");
    (certificate, key)
}

/// What a client that trusts `authority`, and may show a certificate of its own, is answered.
pub(crate) async fn ask(
    address: SocketAddr,
    authority: PathBuf,
    own: Option<(PathBuf, PathBuf)>,
) -> String {
    let asking = tokio::task::spawn_blocking(move || {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-quiet", "-verify_return_error"])
            .args(["-connect", &address.to_string(), "-servername", "localhost"])
            .arg("-CAfile")
            .arg(authority);
        if let Some((certificate, key)) = own {
            command.arg("-cert").arg(certificate).arg("-key").arg(key);
        }
        let mut client = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        // A server that turns the client away may close before it has written.
        let _ =
            client.stdin.take().expect("piped").write_all(
                b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            );
        let output = client.wait_with_output().expect("openssl ends");
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    asking.await.expect("the client does not panic")
}

async fn stand(
    engines: &Engines,
    directory: &TempDir,
    clients: Option<PathBuf>,
) -> (Stand, PathBuf) {
    let (certificate, key) = certify(directory.path(), "localhost");
    let tls = Tls {
        certificate: certificate.clone(),
        key,
        client_authorities: clients,
    };
    let setting = Setting {
        tls: Some(tls),
        ..Setting::hosts(engines.addresses.clone())
    };
    (Stand::start(setting).await, certificate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_trusts_the_certificate_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let engines = Engines::start(1, 50).await;
    let (stand, certificate) = stand(&engines, &directory, None).await;
    let answer = ask(stand.address(), certificate, None).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (stranger, _) = certify(directory.path(), "stranger");
    assert_eq!(ask(stand.address(), stranger, None).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_authorities_for_clients_only_theirs_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let engines = Engines::start(1, 50).await;
    let known = certify(directory.path(), "known");
    let stranger = certify(directory.path(), "stranger");
    let (stand, certificate) = stand(&engines, &directory, Some(known.0.clone())).await;
    let answer = ask(stand.address(), certificate.clone(), Some(known)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for own in [None, Some(stranger)] {
        assert_eq!(ask(stand.address(), certificate.clone(), own).await, "");
    }
}
