//! An engine that answers at once: what is left is the proxy's time.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A completion of one token with its usage.
const ANSWER: &str = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":512,"completion_tokens":1,"total_tokens":513,"prompt_tokens_details":{"cached_tokens":0}}}"#;

/// An idle vLLM, as the collector sees it: what changes, and what does not.
const GAUGES: &str = "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 0.0\n\
    vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 0.0\n\
    vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.0\n\
    vllm:prefix_cache_queries_total{engine=\"0\",model_name=\"m\"} 0.0\n\
    vllm:prefix_cache_hits_total{engine=\"0\",model_name=\"m\"} 0.0\n\
    vllm:generation_tokens_total{engine=\"0\",model_name=\"m\"} 0.0\n";
const SHAPE: &str =
    "vllm:cache_config_info{block_size=\"64\",num_gpu_blocks=\"13000\",engine=\"0\"} 1.0\n";

/// A metrics page of about `bytes`, in the order of vLLM 0.32: the process, gauges and counters, histograms, the shape of the cache.
pub(crate) fn page(bytes: usize) -> String {
    /// Lines of the Python process and what stands before the gauges.
    const BEFORE: usize = 5 << 10;
    let mut page = String::with_capacity(bytes + 1024);
    let mut line = 0;
    while page.len() < BEFORE.min(bytes) {
        let _ = writeln!(
            page,
            "python_gc_objects_collected_total{{generation=\"{line}\"}} 0.0"
        );
        line += 1;
    }
    page.push_str(GAUGES);
    while page.len() + SHAPE.len() < bytes {
        let _ = writeln!(
            page,
            "vllm:time_to_first_token_seconds_bucket{{engine=\"0\",le=\"{line}\",model_name=\"m\"}} 0.0"
        );
        line += 1;
    }
    page.push_str(SHAPE);
    page
}

/// Listens on a free port; a thread a connection, until the process ends.
pub(crate) fn start() -> io::Result<SocketAddr> {
    // Leaked once: the engines serve it until the process ends.
    start_with(page(0).leak())
}

/// The same with another metrics page.
pub(crate) fn start_with(metrics: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A connection that breaks is the other side's to reopen.
            thread::spawn(move || drop(serve(connection, metrics)));
        }
    });
    Ok(address)
}

fn serve(connection: TcpStream, metrics: &str) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::with_capacity(1 << 16, connection);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (kind, answer) = if line.starts_with("GET /metrics") {
            ("text/plain", metrics)
        } else {
            ("application/json", ANSWER)
        };
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
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        write!(
            writer,
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
}
