//! A client on one connection that sends the next request when the last is answered.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// Sends `count` chat requests with prompts of `bytes` bytes; returns their times, sorted.
///
/// Every prompt begins differently, so none is a prefix of another.
pub(crate) fn measure(
    target: SocketAddr,
    bytes: usize,
    count: u32,
    seed: u64,
) -> Result<Vec<Duration>, Failure> {
    let stream = TcpStream::connect(target)?;
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let filler =
        "the quick brown fox jumps over the lazy dog, again and again; ".repeat(bytes / 62);
    let mut times = Vec::with_capacity(count as usize);
    let mut line = String::new();
    for index in 0..count {
        let body = format!(
            r#"{{"model":"m","max_tokens":16,"messages":[{{"role":"user","content":"{seed}-{index} {filler}"}}]}}"#
        );
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let start = Instant::now();
        writer.write_all(request.as_bytes())?;
        line.clear();
        reader.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200") {
            return Err(Failure::new(format!(
                "unexpected answer: {}",
                line.trim_end()
            )));
        }
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}
