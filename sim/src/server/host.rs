//! One engine in real time: the step loop and the streams it feeds.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::engine::{Engine, Gpu, HashKeyed, Job, Token, TooLong};

use super::LATE;
use super::chunk::{Api, Format, Usage};
use super::faults::Faults;
use super::request::Request;
use super::sink::{End, Sink, Ticket};

/// Steps made in one go before connections get their turn: bounds the wait when the machine is too slow for the
/// speed-up asked for.
const STEPS_IN_ONE_GO: u32 = 64;

/// What the hosts of one process share.
pub(super) struct Settings {
    pub(super) speedup: f64,
    /// The only model served; any, when absent.
    pub(super) model: Option<String>,
    pub(super) block_tokens: u32,
    /// KV capacity in place of the GPU's.
    pub(super) kv_tokens: Option<u32>,
    pub(super) stream_interval: u32,
    /// Seconds since 1970 that answers carry.
    pub(super) created: u64,
}

/// An engine with its clients.
pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) gpu: Gpu,
    pub(super) settings: Arc<Settings>,
    pub(super) faults: watch::Sender<Faults>,
    pub(super) started: Instant,
    state: Mutex<State>,
    /// Rung when a job arrives or a stall ends.
    bell: Notify,
}

pub(super) struct State {
    pub(super) engine: Engine,
    streams: HashKeyed<Stream>,
    /// Sinks of finished answers whose end a stall holds back.
    held: Vec<Arc<Sink>>,
    last_id: u64,
    /// The largest delay of a step's end behind its due time, in wall-clock microseconds.
    pub(super) worst_lag_micros: u64,
    /// Steps that ended more than [`LATE`] behind their due time.
    pub(super) late_steps: u64,
}

struct Stream {
    sink: Arc<Sink>,
    format: Format,
    /// Whether tokens leave as they come.
    live: bool,
    include_usage: bool,
    prompt_tokens: u32,
    /// Tokens already written.
    written: u32,
}

impl Host {
    pub(super) fn new(address: SocketAddr, gpu: Gpu, settings: Arc<Settings>) -> Self {
        let kv_tokens = settings.kv_tokens.unwrap_or_else(|| gpu.kv_tokens());
        let blocks = (kv_tokens / settings.block_tokens) as usize;
        let engine = Engine::with_blocks(gpu, settings.block_tokens, blocks);
        Self {
            address,
            gpu,
            settings,
            faults: watch::Sender::new(Faults::default()),
            started: Instant::now(),
            state: Mutex::new(State {
                engine,
                streams: HashKeyed::default(),
                held: Vec::new(),
                last_id: 0,
                worst_lag_micros: 0,
                late_steps: 0,
            }),
            bell: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request.
    pub(super) fn submit(self: &Arc<Self>, api: Api, request: Request) -> Result<Ticket, TooLong> {
        let mut state = self.state();
        let id = state.last_id + 1;
        let prompt_tokens = request.prompt.tokens;
        state.engine.submit(Job {
            id,
            prompt: request.prompt,
            output_tokens: request.output_tokens,
        })?;
        state.last_id = id;
        let model = self
            .settings
            .model
            .as_deref()
            .or(request.model.as_deref())
            .unwrap_or("sim");
        let name = format!("{}-{id}", self.address.port());
        let sink = Arc::new(Sink::default());
        let stream = Stream {
            sink: Arc::clone(&sink),
            format: Format::new(
                api,
                request.stream,
                &name,
                self.settings.created,
                model,
                request.digest,
            ),
            live: request.stream,
            include_usage: request.include_usage,
            prompt_tokens,
            written: 0,
        };
        state.streams.insert(id, stream);
        drop(state);
        self.bell.notify_one();
        Ok(Ticket {
            host: Arc::clone(self),
            id,
            sink,
        })
    }

    /// Forgets a client; its sequence, if it still runs, is released.
    pub(super) fn cancel(&self, id: u64) {
        let mut state = self.state();
        if state.streams.remove(&id).is_some() {
            state.engine.cancel(id);
        }
    }

    /// Changes the faults in force.
    pub(super) fn change_faults(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
        if self.faults.borrow().stall.is_none() {
            let mut state = self.state();
            for stream in state.streams.values() {
                stream.sink.let_go();
            }
            for sink in state.held.drain(..) {
                sink.let_go();
            }
        }
        self.bell.notify_one();
    }

    /// Makes steps for ever. Each is due at an absolute moment, so that late wake-ups do not add up.
    pub(super) async fn run(self: Arc<Self>) {
        let mut tokens = Vec::new();
        let mut due = Instant::now();
        let mut in_one_go = 0;
        loop {
            let Some(step) = self.begin() else {
                self.bell.notified().await;
                due = due.max(Instant::now());
                continue;
            };
            due += step;
            let now = Instant::now();
            if due > now {
                tokio::time::sleep_until(due).await;
                in_one_go = 0;
            } else {
                in_one_go += 1;
                if in_one_go >= STEPS_IN_ONE_GO {
                    in_one_go = 0;
                    tokio::task::yield_now().await;
                }
            }
            let lag = Instant::now().saturating_duration_since(due);
            self.finish(&mut tokens, lag);
        }
    }

    /// Plans a step; its wall-clock duration, or `None` when there is nothing to do.
    fn begin(&self) -> Option<Duration> {
        let faults = self.faults.borrow().clone();
        if faults.stall == Some(0) {
            return None;
        }
        let micros = self.state().engine.begin_step()?;
        let factor = faults.slow.unwrap_or(1.0) / self.settings.speedup;
        Some(Duration::from_nanos(
            (micros as f64 * 1000.0 * factor) as u64,
        ))
    }

    /// Ends the step and hands its tokens to their clients.
    fn finish(&self, tokens: &mut Vec<Token>, lag: Duration) {
        let faults = self.faults.borrow().clone();
        let mut state = self.state();
        state.worst_lag_micros = state.worst_lag_micros.max(lag.as_micros() as u64);
        state.late_steps += u64::from(lag > LATE);
        tokens.clear();
        state.engine.finish_step(tokens);
        for token in tokens.iter() {
            let Some(stream) = state.streams.get_mut(&token.id) else {
                continue;
            };
            if faults.close.is_some_and(|after| token.ordinal > after) {
                stream.sink.end(End::Broken);
                state.streams.remove(&token.id);
                state.engine.cancel(token.id);
                continue;
            }
            let held = faults.stall.is_some_and(|after| token.ordinal > after);
            if held {
                stream.sink.hold();
            }
            stream.publish(token, self.settings.stream_interval);
            if token.last
                && let Some(stream) = state.streams.remove(&token.id)
                && held
            {
                state.held.push(stream.sink);
            }
        }
    }
}

impl Stream {
    fn publish(&mut self, token: &Token, interval: u32) {
        let usage = Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: token.ordinal,
            cached_tokens: token.cached_tokens,
        };
        if self.live {
            let due = token.ordinal == 1 || token.last || token.ordinal - self.written >= interval;
            if !due {
                return;
            }
            self.sink.write(|out| {
                if token.ordinal == 1 {
                    self.format.put_role(out);
                }
                self.format.put_tokens(out, self.written + 1, token.ordinal);
                if token.last {
                    self.format
                        .put_end(out, self.include_usage.then_some(usage));
                }
            });
            self.written = token.ordinal;
        } else if token.last {
            self.sink.write(|out| self.format.put_whole(out, usage));
        }
        if token.last {
            self.sink.end(End::Complete);
        }
    }
}
