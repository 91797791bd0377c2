//! Open-loop load: requests leave when their time has come, however slow the answers are, and each is accounted for.

mod ask;
mod random;
mod record;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use ask::{Ask, Pool};
use random::Random;
pub use record::{Fate, Record, Tally};

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
    /// Header fields of every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Longest a client waits for one answer.
    pub patience: Duration,
    /// Whether streams are to end with the engine's account of what they used.
    pub usage: bool,
    /// How often a client asks that is told when to come back.
    pub tries: u32,
    /// A client that is told to come back later than in this time does not.
    pub comes_back_within: Duration,
    /// Makes the sequence of gaps and lengths; prompts are never alike.
    pub seed: u64,
}

/// Load that is running.
#[derive(Debug)]
pub struct Running {
    start: Instant,
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicUsize>,
    sender: JoinHandle<Tally>,
}

impl Load {
    /// A load on `targets` with requests of moderate size.
    pub fn on(targets: impl IntoIterator<Item = SocketAddr>, rate: f64) -> Self {
        Self {
            targets: targets.into_iter().collect(),
            rate,
            prompt_tokens: 1000,
            output_tokens: 16,
            headers: Vec::new(),
            patience: Duration::from_secs(20),
            usage: false,
            tries: 1,
            comes_back_within: Duration::from_secs(15),
            seed: 1,
        }
    }

    /// Starts to send.
    pub fn start(self) -> Running {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicUsize::new(0));
        let sender = tokio::spawn(self.send(number, start, Arc::clone(&stop), Arc::clone(&ended)));
        Running {
            start,
            stop,
            ended,
            sender,
        }
    }

    async fn send(
        self,
        number: usize,
        start: Instant,
        stop: Arc<AtomicBool>,
        ended: Arc<AtomicUsize>,
    ) -> Tally {
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
            let ask = self.ask((number, turn), target, &mut random);
            let (pool, ended) = (Arc::clone(&pools[target]), Arc::clone(&ended));
            asked.spawn(async move {
                let record = ask.follow(&pool, start).await;
                ended.fetch_add(1, Ordering::Relaxed);
                record
            });
        }
        let mut records = asked.join_all().await;
        records.sort_by_key(|record| record.at);
        Tally { records }
    }

    fn ask(&self, (load, turn): (usize, usize), target: usize, random: &mut Random) -> Ask {
        let scale = (0.8 * random.normal()).exp().clamp(0.1, 5.0);
        // A token of the simulated engines is four bytes.
        let tokens = (f64::from(self.prompt_tokens) * scale) as usize;
        let half = u64::from(self.output_tokens / 2).max(1);
        // Two loads with one seed have the same lengths, and must not find each other's prompts in the engines' caches.
        let text = format!(
            "{:016x} {load} {turn} {}",
            random.next(),
            "ship ".repeat(tokens * 4 / 5)
        );
        let answer = half + random.next() % (2 * half);
        let prompt_tokens = text.len() as u64 / 4;
        let body = json!({
            "model": "m",
            "stream": true,
            "stream_options": {"include_usage": self.usage},
            "max_tokens": answer,
            "messages": [{"role": "user", "content": text}],
        });
        Ask {
            target,
            body: body.to_string().into(),
            prompt_tokens,
            output_tokens: answer,
            headers: self.headers.clone(),
            patience: self.patience,
            tries: self.tries,
            comes_back_within: self.comes_back_within,
            late: Duration::from_millis(random.next() % 200),
        }
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
