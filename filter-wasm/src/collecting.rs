//! The I/O of the core's collector: asks the proxy's admin for hosts and hosts for metrics, and publishes the snapshot.
//!
//! The collector role runs it for as long as it lives; a worker runs it while it holds the lease.

use alloc::{string::ToString, sync::Arc, vec::Vec};
use plimsoll_core::{
    collect::{Collector, Heard, PollFailure, Task},
    config::Config,
    host::Address,
    snapshot::View,
    time::{Instant, Micros},
};

use crate::{
    headers::{Pairs, decimal},
    host::{Buffer, Host, Level, Map, Status},
    metrics::{Id, Metrics},
    names::{self, Keys},
    slots::SLOTS,
};

/// A collector at work.
pub struct Collecting {
    collector: Collector,
    config: Arc<Config>,
    calls: Vec<(u32, Task)>,
    refused: Vec<Task>,
    warned: Option<Status>,
    /// The snapshot or the share that is written.
    bytes: Vec<u8>,
}

/// Sends what a task asks for.
fn call<H: Host>(config: &Config, host: &H, task: Task, timeout: Micros) -> Result<u32, Status> {
    let timeout_ms = u32::try_from(timeout.get() / 1000).unwrap_or(u32::MAX);
    match task {
        Task::Discover => {
            let headers = [
                (":method", "GET"),
                (":path", "/clusters?format=json"),
                (":authority", "plimsoll"),
            ];
            host.call(&config.discovery.admin_cluster, &headers, b"", timeout_ms)
        }
        Task::Poll(address)
        | Task::Check(address)
        | Task::Warm(address)
        | Task::Exchange(address) => ask(config, host, task, address, timeout_ms),
    }
}

/// The cluster through which a task is done.
fn cluster(config: &Config, task: Task) -> &str {
    match task {
        Task::Discover => &config.discovery.admin_cluster,
        Task::Exchange(_) => &config.exchange.cluster,
        _ => &config.poll.cluster,
    }
}

/// Asks exactly the host, or the proxy, at `address`; posts where there is a body.
fn ask<H: Host>(
    config: &Config,
    host: &H,
    task: Task,
    address: Address,
    timeout_ms: u32,
) -> Result<u32, Status> {
    let (path, body) = match task {
        Task::Check(_) => (&*config.checks.path, ""),
        Task::Warm(_) => (&*config.warmup.path, &*config.warmup.body),
        Task::Exchange(_) => (names::EXCHANGE_PATH, ""),
        _ => (&*config.poll.path, ""),
    };
    let address = address.to_string();
    let method = if body.is_empty() { "GET" } else { "POST" };
    let headers = [
        (":method", method),
        (":path", path),
        (":authority", &*address),
        (names::POLL_TARGET, &*address),
        ("content-type", "application/json"),
    ];
    let headers = headers
        .get(..if body.is_empty() { 4 } else { 5 })
        .unwrap_or(&headers);
    host.call(cluster(config, task), headers, body.as_bytes(), timeout_ms)
}

impl Collecting {
    /// A collector for `config`; `seed` jitters its polls and names it as the writer of its snapshots.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: u64) -> Self {
        Self {
            collector: Collector::new(Arc::clone(&config), seed),
            config,
            calls: Vec::new(),
            refused: Vec::new(),
            warned: None,
            bytes: Vec::new(),
        }
    }

    /// Takes over a new configuration; what is known of hosts that stay is kept.
    pub fn configure(&mut self, config: Arc<Config>) {
        self.collector.configure(Arc::clone(&config));
        self.config = config;
    }

    /// Takes over from the collector that wrote the snapshot under `key`.
    pub fn resume<H: Host>(&mut self, host: &H, key: &str) {
        if let Ok((bytes, _)) = host.shared_get(key)
            && let Ok(view) = View::new_checked(&bytes)
        {
            self.collector.resume(&view);
        }
    }

    /// Sends what is due and publishes what is new.
    pub fn tick<H: Host>(&mut self, host: &H, metrics: &Metrics, keys: &mut Keys, now: Instant) {
        let Self {
            collector,
            config,
            calls,
            refused,
            warned,
            ..
        } = self;
        collector.due(now, |task, timeout| {
            match call(config, host, task, timeout) {
                Ok(token) => {
                    // An earlier question of the same kind was given up; its answer, if it ever comes, is of the past.
                    calls.retain(|(_, asked)| *asked != task);
                    calls.push((token, task));
                }
                Err(status) => {
                    if *warned != Some(status) {
                        *warned = Some(status);
                        warn_refused(host, config, task, status);
                    }
                    refused.push(task);
                }
            }
            true
        });
        // A call that the proxy refuses says nothing of the host: a missing cluster must not take the fleet down.
        for task in core::mem::take(&mut self.refused) {
            if let Task::Exchange(address) = task {
                self.hear(host, metrics, now, address, None);
                continue;
            }
            metrics.add(host, Id::PollsError, 1);
            match task {
                Task::Discover => {
                    self.collector.on_discovered(None);
                }
                Task::Poll(address) => {
                    self.collector
                        .on_polled(now, address, Err(PollFailure::NoMetrics));
                }
                Task::Check(address) => self.collector.on_checked(now, address, true),
                Task::Warm(address) => self.collector.on_warmed(now, address),
                Task::Exchange(_) => {}
            }
        }
        self.publish(host, &keys.snapshot, now);
        if self.collector.exchange().is_on() {
            self.exchange(host, metrics, keys, now);
        }
    }

    /// Writes what other proxies are told of this one's workers, and what those are told of other proxies.
    fn exchange<H: Host>(&mut self, host: &H, metrics: &Metrics, keys: &mut Keys, now: Instant) {
        let Self {
            collector, bytes, ..
        } = self;
        let exchange = collector.exchange();
        if exchange.begin(now) {
            for slot in 0..SLOTS {
                let Ok((share, _)) = host.shared_get(keys.slot(slot)) else {
                    break;
                };
                exchange.merge(now, &share);
            }
            let before = host.shared_get(&keys.proxy).unwrap_or_default().0;
            exchange.write_own(now, &before, bytes);
            let _ = host.shared_set(&keys.proxy, bytes, None);
            let (heard, age) = exchange.heard(now);
            metrics.set(host, Id::Peers, heard);
            metrics.set(host, Id::PeersAgeMs, age.get() / 1000);
        }
        if exchange.write_others(now, bytes) {
            let _ = host.shared_set(&keys.others, bytes, None);
        }
    }

    /// Another proxy has answered, or has not.
    fn hear<H: Host>(
        &mut self,
        host: &H,
        metrics: &Metrics,
        now: Instant,
        address: Address,
        body: Option<&[u8]>,
    ) {
        let id = match self.collector.on_exchanged(now, address, body) {
            Heard::Share => Id::ExchangesOk,
            Heard::Nothing => return,
            Heard::Refused => Id::ExchangesRefused,
            Heard::Silence => Id::ExchangesError,
        };
        metrics.add(host, id, 1);
    }

    /// Takes the answer to call `token`. `headers` is 0 when there was none. Returns false when the call is not known.
    pub fn answer<H: Host>(
        &mut self,
        host: &H,
        metrics: &Metrics,
        now: Instant,
        token: u32,
        headers: usize,
        body_size: usize,
    ) -> bool {
        let Some(at) = self.calls.iter().position(|(asked, _)| *asked == token) else {
            return false;
        };
        let (_, task) = self.calls.swap_remove(at);
        let status = if headers == 0 { None } else { status(host) };
        match task {
            Task::Check(address) => {
                self.collector.on_checked(now, address, status == Some(200));
                return true;
            }
            Task::Warm(address) => {
                self.collector.on_warmed(now, address);
                metrics.add(host, Id::Warmups, 1);
                return true;
            }
            Task::Exchange(address) => {
                // Longer than any share is as good as refused, and is not copied.
                let most = body_size.min(self.collector.exchange().most_bytes() + 1);
                let body = host.buffer(Buffer::CallResponseBody, 0, most);
                let body = body.ok().filter(|_| status == Some(200));
                self.hear(host, metrics, now, address, body.as_deref());
                return true;
            }
            Task::Discover | Task::Poll(_) => {}
        }
        if let Task::Poll(address) = task
            && status == Some(200)
            && self.read_head(host, now, address, body_size)
        {
            metrics.add(host, Id::PollsOk, 1);
            return true;
        }
        let body = (status == Some(200))
            .then(|| host.buffer(Buffer::CallResponseBody, 0, body_size).ok())
            .flatten();
        let read = match task {
            Task::Discover => self.collector.on_discovered(body.as_deref()),
            Task::Poll(address) => {
                let answer = match (&body, status) {
                    (Some(page), _) => Ok(&**page),
                    // The proxy itself answers for a host it cannot reach or that takes too long.
                    (None, None | Some(502..=504)) => Err(PollFailure::Unreachable),
                    (None, Some(_)) => Err(PollFailure::NoMetrics),
                };
                self.collector.on_polled(now, address, answer)
            }
            Task::Check(_) | Task::Warm(_) | Task::Exchange(_) => false,
        };
        metrics.add(host, if read { Id::PollsOk } else { Id::PollsError }, 1);
        true
    }

    /// Reads the beginning of a metrics page, where that is known to tell all that changes: pages are long, and copying them into the VM is
    /// most of what a poll costs. False when the whole page has to be read.
    fn read_head<H: Host>(
        &mut self,
        host: &H,
        now: Instant,
        address: Address,
        body_size: usize,
    ) -> bool {
        let head = self.collector.head_of(address);
        // Where little would be left out, it is not worth a second try.
        let Some(bytes) = head.filter(|bytes| *bytes <= body_size / 2) else {
            return false;
        };
        let head = host.buffer(Buffer::CallResponseBody, 0, bytes);
        head.is_ok_and(|head| self.collector.on_polled_head(now, address, &head))
    }

    fn publish<H: Host>(&mut self, host: &H, key: &str, now: Instant) {
        // Epochs only grow, whoever wrote last.
        if let Ok((bytes, _)) = host.shared_get(key)
            && let Ok(view) = View::new_checked(&bytes)
            && view.writer() != self.collector.writer()
        {
            self.collector.outrun(view.epoch());
        }
        if self.collector.publish(now, &mut self.bytes) {
            // One writer at a time; where two overlap, the later snapshot is as good as the other.
            let _ = host.shared_set(key, &self.bytes, None);
        }
    }
}

fn status<H: Host>(host: &H) -> Option<u64> {
    let map = host.header_map(Map::CallResponseHeaders).ok()?;
    Pairs::new(&map)
        .find(|(name, _)| *name == b":status")
        .and_then(|(_, value)| decimal(value))
}

fn warn_refused<H: Host>(host: &H, config: &Config, task: Task, status: Status) {
    host.log(
        Level::Warn,
        &[
            "plimsoll: the proxy refuses calls to cluster \"",
            cluster(config, task),
            "\": ",
            &status.text(),
        ]
        .concat(),
    );
}
