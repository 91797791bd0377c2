//! A blocking client for Envoy's admin interface, over TCP or a unix socket.
//!
//! One request a connection, with a deadline. Enough for a handful of calls from a command line
//! tool; the module itself talks to the admin through Envoy.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::reachable;
use crate::options::Admin;

/// Longest wait for a read or a write on the admin connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Calls Envoy's admin interface.
#[derive(Clone, Debug)]
pub struct AdminClient {
    target: Target,
}

#[derive(Clone, Debug)]
enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An answer of the admin interface.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Body; the admin interface speaks UTF-8.
    pub body: String,
}

/// Why the admin interface gave no answer.
#[derive(Debug)]
pub enum AdminError {
    /// Not reachable, or the connection broke.
    Io(io::Error),
    /// It answered something that is not HTTP/1.1.
    Malformed,
}

impl AdminClient {
    /// A client for the interface that a rendered configuration opens.
    pub fn new(admin: &Admin) -> Self {
        let target = match admin {
            Admin::Tcp(address) => Target::Tcp(reachable(*address)),
            Admin::Unix(path) => Target::Unix(path.clone()),
        };
        Self { target }
    }

    /// `GET path`, for instance `/ready`, `/stats/prometheus`, `/clusters?format=json`.
    ///
    /// # Errors
    ///
    /// When Envoy is not reachable or does not answer HTTP.
    pub fn get(&self, path: &str) -> Result<Response, AdminError> {
        self.request("GET", path)
    }

    /// `POST path`, for the verbs that change something (`/drain_listeners`, `/logging`).
    ///
    /// # Errors
    ///
    /// When Envoy is not reachable or does not answer HTTP.
    pub fn post(&self, path: &str) -> Result<Response, AdminError> {
        self.request("POST", path)
    }

    fn request(&self, method: &str, path: &str) -> Result<Response, AdminError> {
        match &self.target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                exchange(stream, method, path)
            }
            Target::Unix(socket) => {
                let stream = UnixStream::connect(socket)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                exchange(stream, method, path)
            }
        }
    }
}

fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
) -> Result<Response, AdminError> {
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )?;
    stream.flush()?;
    read_response(BufReader::new(stream))
}

fn read_response(mut reader: impl BufRead) -> Result<Response, AdminError> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or(AdminError::Malformed)?;
    let mut chunked = false;
    let mut length = None;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(AdminError::Malformed);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            "content-length" => length = value.trim().parse().ok(),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match (chunked, length) {
        (true, _) => read_chunks(&mut reader, &mut body)?,
        (false, Some(length)) => {
            reader.take(length).read_to_end(&mut body)?;
        }
        (false, None) => {
            reader.read_to_end(&mut body)?;
        }
    }
    let body = String::from_utf8(body).map_err(|_| AdminError::Malformed)?;
    Ok(Response { status, body })
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result<(), AdminError> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim_end(), 16).map_err(|_| AdminError::Malformed)?;
        let read = reader.by_ref().take(size).read_to_end(body)?;
        if read as u64 != size {
            return Err(AdminError::Malformed);
        }
        line.clear();
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

impl From<io::Error> for AdminError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "Envoy's admin interface: {error}"),
            Self::Malformed => f.write_str("Envoy's admin interface did not answer HTTP/1.1"),
        }
    }
}

impl std::error::Error for AdminError {}

#[cfg(test)]
mod tests {
    use super::{AdminError, read_response};

    #[test]
    fn reads_a_body_by_length() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nLIVE\nrest";
        let response = read_response(&answer[..]).unwrap();
        assert_eq!((response.status, response.body.as_str()), (200, "LIVE\n"));
    }

    #[test]
    fn reads_a_chunked_body() {
        let answer =
            b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let response = read_response(&answer[..]).unwrap();
        assert_eq!((response.status, response.body.as_str()), (503, "abcde"));
    }

    #[test]
    fn refuses_what_is_not_http() {
        for answer in [&b"SSH-2.0\r\n"[..], b"", b"HTTP/1.1 200 OK\r\n"] {
            assert!(matches!(read_response(answer), Err(AdminError::Malformed)));
        }
    }
}
