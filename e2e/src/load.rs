//! Open-loop load: requests leave when their time has come, however slow the answers are, and each is accounted for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::{Body, chat, whole};

/// What to send.
#[derive(Clone, Debug)]
pub struct Load {
    /// Proxies; they take turns.
    pub targets: Vec<SocketAddr>,
    /// Requests a second, with exponential gaps.
    pub rate: f64,
    /// Median of the prompts' lengths in tokens; log-normal with a shape of 0.8, cut at a tenth and at five times.
    pub prompt_tokens: u32,
    /// Answers' lengths in tokens, uniform from half of it to one and a half times.
    pub output_tokens: u32,
    /// Longest a client waits.
    pub patience: Duration,
    /// Makes the sequence of gaps and lengths; prompts are never alike.
    pub seed: u64,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Answered in full.
    Whole,
    /// An answer with another status than 200.
    Status(u16),
    /// No answer: the connection broke, or could not be made.
    NoAnswer,
    /// The head of an answer came, and nothing of its body.
    NoToken,
    /// Tokens came, and the stream was cut.
    Cut,
    /// The client's patience ended before the first byte of the body.
    Waited,
    /// The client's patience ended after it.
    Stalled,
}

impl Fate {
    /// Whether the client got nothing: such a request could have been served elsewhere.
    pub const fn before_first_byte(&self) -> bool {
        matches!(
            self,
            Self::Status(_) | Self::NoAnswer | Self::NoToken | Self::Waited
        )
    }

    fn reason(&self) -> String {
        match self {
            Self::Whole => "ok".to_owned(),
            Self::Status(status) => format!("status {status}"),
            Self::NoAnswer => "no answer".to_owned(),
            Self::NoToken => "cut before the first token".to_owned(),
            Self::Cut => "cut after the first token".to_owned(),
            Self::Waited => "timed out before the first token".to_owned(),
            Self::Stalled => "timed out after the first token".to_owned(),
        }
    }
}

/// One request. Times count from the start of the load.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it was sent.
    pub at: Duration,
    /// Which of the targets got it.
    pub target: usize,
    /// The first host that the module named, when it explains itself.
    pub first_choice: Option<SocketAddr>,
    /// The host that served.
    pub served_by: Option<SocketAddr>,
    /// When the first token came.
    pub first_token: Option<Duration>,
    /// When it ended.
    pub end: Duration,
    /// How.
    pub fate: Fate,
}

/// Load that is running.
#[derive(Debug)]
pub struct Running {
    start: Instant,
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicUsize>,
    sender: JoinHandle<Tally>,
}

/// All requests of a load, each once.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// In the order they were sent.
    pub records: Vec<Record>,
}

impl Load {
    /// A load on `targets` with requests of moderate size.
    pub fn on(targets: impl IntoIterator<Item = SocketAddr>, rate: f64) -> Self {
        Self {
            targets: targets.into_iter().collect(),
            rate,
            prompt_tokens: 1000,
            output_tokens: 16,
            patience: Duration::from_secs(20),
            seed: 1,
        }
    }

    /// Starts to send.
    pub fn start(self) -> Running {
        let start = Instant::now();
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicUsize::new(0));
        let sender = tokio::spawn(self.send(start, Arc::clone(&stop), Arc::clone(&ended)));
        Running {
            start,
            stop,
            ended,
            sender,
        }
    }

    async fn send(self, start: Instant, stop: Arc<AtomicBool>, ended: Arc<AtomicUsize>) -> Tally {
        let pools: Vec<Arc<Pool>> = self
            .targets
            .iter()
            .map(|target| Arc::new(Pool::new(*target)))
            .collect();
        let mut random = Random(self.seed);
        let mut asked = JoinSet::new();
        let mut due = start;
        for turn in 0.. {
            due += Duration::from_secs_f64(random.exponential() / self.rate);
            sleep_until(due).await;
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let target = turn % pools.len();
            let body = self.body(turn, &mut random);
            let (pool, ended, patience) = (
                Arc::clone(&pools[target]),
                Arc::clone(&ended),
                self.patience,
            );
            asked.spawn(async move {
                let record = ask(&pool, target, body, start, patience).await;
                ended.fetch_add(1, Ordering::Relaxed);
                record
            });
        }
        let mut records = asked.join_all().await;
        records.sort_by_key(|record| record.at);
        Tally { records }
    }

    fn body(&self, turn: usize, random: &mut Random) -> String {
        let scale = (0.8 * random.normal()).exp().clamp(0.1, 5.0);
        // A token of the simulated engines is four bytes.
        let tokens = (f64::from(self.prompt_tokens) * scale) as usize;
        let half = u64::from(self.output_tokens / 2).max(1);
        let text = format!(
            "{:016x} {turn} {}",
            random.next(),
            "ship ".repeat(tokens * 4 / 5)
        );
        json!({
            "model": "m",
            "stream": true,
            "max_tokens": half + random.next() % (2 * half),
            "messages": [{"role": "user", "content": text}],
        })
        .to_string()
    }
}

impl Running {
    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Requests that have ended.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// Lets it run for `time`.
    pub async fn run(&self, time: Duration) -> Duration {
        sleep_until(Instant::now() + time).await;
        self.elapsed()
    }

    /// Sends nothing more and waits for what is under way.
    ///
    /// # Panics
    ///
    /// When a request's task has.
    pub async fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.await.expect("no request panics")
    }
}

impl Tally {
    /// Requests sent.
    pub const fn sent(&self) -> usize {
        self.records.len()
    }

    /// Those answered in full.
    pub fn ok(&self) -> usize {
        self.count(|fate| *fate == Fate::Whole)
    }

    /// Those of which the client got nothing.
    pub fn failed_before_first_byte(&self) -> usize {
        self.count(Fate::before_first_byte)
    }

    fn count(&self, which: impl Fn(&Fate) -> bool) -> usize {
        self.records
            .iter()
            .filter(|record| which(&record.fate))
            .count()
    }

    /// Failures by reason.
    pub fn why(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for record in &self.records {
            if record.fate != Fate::Whole {
                *reasons.entry(record.fate.reason()).or_default() += 1;
            }
        }
        reasons
    }

    /// The requests sent from `from` until `to`.
    #[must_use]
    pub fn between(&self, from: Duration, to: Duration) -> Self {
        let records = self.records.iter();
        Self {
            records: records
                .filter(|record| (from..to).contains(&record.at))
                .cloned()
                .collect(),
        }
    }

    /// The requests sent to one of the targets.
    #[must_use]
    pub fn of_target(&self, target: usize) -> Self {
        let records = self.records.iter();
        Self {
            records: records
                .filter(|record| record.target == target)
                .cloned()
                .collect(),
        }
    }

    /// Both together.
    pub fn extend(&mut self, other: Self) {
        self.records.extend(other.records);
    }

    /// Share of the requests that `host` served, 0 to 1.
    pub fn served_share(&self, host: SocketAddr) -> f64 {
        self.share(|record| record.served_by == Some(host))
    }

    /// Share of the requests of which `host` was the first choice, 0 to 1.
    pub fn chosen_share(&self, host: SocketAddr) -> f64 {
        self.share(|record| record.first_choice == Some(host))
    }

    fn share(&self, which: impl Fn(&Record) -> bool) -> f64 {
        let hits = self.records.iter().filter(|record| which(record)).count();
        hits as f64 / self.records.len().max(1) as f64
    }

    /// Time to the first token at the percentile `p` (0 to 1), of the requests that got one; zero when none did.
    pub fn ttft(&self, p: f64) -> Duration {
        let mut times: Vec<Duration> = self
            .records
            .iter()
            .filter_map(|record| Some(record.first_token?.saturating_sub(record.at)))
            .collect();
        times.sort_unstable();
        let rank = ((times.len() as f64 * p).ceil() as usize).saturating_sub(1);
        times.get(rank).copied().unwrap_or_default()
    }
}

/// A target and the idle connections to it.
struct Pool {
    target: SocketAddr,
    idle: Mutex<Vec<SendRequest<Body>>>,
}

impl Pool {
    const fn new(target: SocketAddr) -> Self {
        Self {
            target,
            idle: Mutex::new(Vec::new()),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Body>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection that is still open, or a new one.
    async fn connection(&self) -> Option<SendRequest<Body>> {
        loop {
            let Some(idle) = self.idle().pop() else { break };
            if !idle.is_closed() {
                return Some(idle);
            }
        }
        let stream = TcpStream::connect(self.target).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }
}

/// Sends one request and follows it to its end.
async fn ask(
    pool: &Pool,
    target: usize,
    body: String,
    start: Instant,
    patience: Duration,
) -> Record {
    let mut record = Record {
        at: start.elapsed(),
        target,
        first_choice: None,
        served_by: None,
        first_token: None,
        end: Duration::ZERO,
        fate: Fate::NoAnswer,
    };
    let answered = timeout(patience, follow(pool, body, start, &mut record)).await;
    if answered.is_err() {
        record.fate = match record.first_token {
            None => Fate::Waited,
            Some(_) => Fate::Stalled,
        };
    }
    record.end = start.elapsed();
    record
}

async fn follow(pool: &Pool, body: String, start: Instant, record: &mut Record) {
    let Some(mut connection) = pool.connection().await else {
        return;
    };
    let mut request = chat(whole(body));
    *request.uri_mut() = hyper::Uri::from_static("/v1/chat/completions");
    request.headers_mut().insert(
        "x-plimsoll-explain",
        hyper::header::HeaderValue::from_static("1"),
    );
    let Ok(response) = connection.send_request(request).await else {
        return;
    };
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        value.to_str().ok()
    };
    record.served_by = header("x-served-by").and_then(|host| host.parse().ok());
    record.first_choice = header("x-plimsoll-decision").and_then(first_choice);
    let status = response.status().as_u16();
    record.fate = if status == 200 {
        Fate::NoToken
    } else {
        Fate::Status(status)
    };
    let mut stream = response.into_body();
    let mut tail = Vec::new();
    while let Some(frame) = stream.frame().await {
        let Ok(frame) = frame else { return };
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if status == 200 && record.first_token.is_none() {
            record.first_token = Some(start.elapsed());
            record.fate = Fate::Cut;
        }
        tail.extend_from_slice(data);
        tail.drain(..tail.len().saturating_sub(DONE.len()));
    }
    if tail == DONE && status == 200 {
        record.fate = Fate::Whole;
    }
    if connection.ready().await.is_ok() {
        pool.idle().push(connection);
    }
}

/// How a stream that is whole ends.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// The first host of a decision record: `… host0=ip:port(…) host1=…`.
fn first_choice(decision: &str) -> Option<SocketAddr> {
    let (_, rest) = decision.split_once("host0=")?;
    rest.split('(').next()?.parse().ok()
}

/// splitmix64.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }

    /// Box and Muller.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: u64, fate: Fate) -> Record {
        Record {
            at: Duration::from_millis(at),
            target: 0,
            first_choice: first_choice("step=full host0=10.0.0.1:80(a=1) host1=10.0.0.2:80(a=2)"),
            served_by: None,
            first_token: Some(Duration::from_millis(at + 10 * at)),
            end: Duration::ZERO,
            fate,
        }
    }

    #[test]
    fn a_tally_counts_each_once() {
        let fates = [Fate::Whole, Fate::Status(503), Fate::Cut, Fate::Waited];
        let tally = Tally {
            records: (1..)
                .zip(fates)
                .map(|(at, fate)| record(at, fate))
                .collect(),
        };
        assert_eq!((tally.sent(), tally.ok()), (4, 1));
        assert_eq!(tally.failed_before_first_byte(), 2);
        assert_eq!(tally.why().values().sum::<usize>(), 3);
        assert_eq!(tally.ttft(0.5), Duration::from_millis(20));
        assert_eq!(tally.chosen_share("10.0.0.1:80".parse().unwrap()), 1.0);
        let (from, to) = (Duration::from_millis(2), Duration::from_millis(4));
        assert_eq!(tally.between(from, to).sent(), 2);
    }
}
