//! The emulated proxy: everything that hostcalls read and change, independent of how the module runs.
//!
//! It behaves as Envoy 1.40 does (sources: `proxy-wasm-cpp-host` `src/exports.cc` and `src/shared_data.cc`, Envoy
//! `source/extensions/common/wasm/context.cc`), or as another host's [`Profile`] says. There is no global: a test owns its
//! proxy. Every hostcall is one method here; the wasm and the native runtime both call it.

mod access;
mod calls;
mod fault;
mod headers;
mod hostcall;
pub mod metrics;
mod profile;
mod properties;
mod shared;
pub mod status;
mod stream;

use std::collections::{BTreeMap, BTreeSet};

pub use self::calls::{Call, CallResponse};
pub use self::fault::{Fault, Faults, Nth};
pub use self::headers::HeaderMap;
pub use self::hostcall::{Hostcall, Phase};
pub use self::profile::{Profile, Properties, Targets, Ticks};
pub use self::shared::SharedData;
pub use self::stream::{Half, LocalResponse, Stream, flags};

use self::status::{Answer, BAD_ARGUMENT, EMPTY, NOT_FOUND, UNIMPLEMENTED};

/// Milliseconds to nanoseconds.
pub const MILLISECOND: u64 = 1_000_000;

/// Who is running what.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    /// VM number; 0 is the main thread's.
    pub vm: usize,
    /// Effective context.
    pub context: u32,
    /// Running callback.
    pub phase: Phase,
}

/// A root context: one plugin in one VM.
#[derive(Clone, Debug)]
pub struct RootContext {
    /// Role.
    pub root_id: String,
    /// Plugin configuration.
    pub configuration: Vec<u8>,
}

/// A timer of a root context.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    /// Period, milliseconds.
    pub period_ms: u32,
    /// Next run, nanoseconds of the virtual clock.
    pub next: u64,
}

/// A line that the module logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// VM that logged it.
    pub vm: usize,
    /// 0 trace … 4 error, 5 critical.
    pub level: u32,
    /// Text.
    pub text: String,
}

/// The proxy of one test.
#[derive(Debug)]
pub struct Proxy {
    /// Kind of host.
    pub profile: Profile,
    /// Virtual monotonic clock of the proxy's timers, nanoseconds; starts at a date.
    pub clock: u64,
    /// Milliseconds that the machine's wall clock, which the module reads, was set forward; timers do not follow it.
    pub wall_offset_ms: i64,
    /// Running callback.
    pub current: Current,
    /// Shared data of the `vm_id`.
    pub shared: SharedData,
    /// Metrics.
    pub metrics: metrics::Metrics,
    /// What the module logged.
    pub log: Vec<LogLine>,
    /// Scripted statuses.
    pub faults: Faults,
    /// Properties with scripted bytes, by dotted path.
    pub scripted_properties: BTreeMap<String, Vec<u8>>,
    /// Clusters that calls can name.
    pub clusters: BTreeSet<String>,
    /// Calls made and not yet taken up by the scenario.
    pub calls: Vec<Call>,
    /// Answer that the running callback is about.
    pub call_response: Option<CallResponse>,
    /// Root contexts by (VM, context).
    pub roots: BTreeMap<(usize, u32), RootContext>,
    /// Streams by (VM, context).
    pub streams: BTreeMap<(usize, u32), Stream>,
    /// Timers by (VM, root context).
    pub timers: BTreeMap<(usize, u32), Timer>,
    /// Filter state set by the module, by (VM, context, name).
    pub filter_state: BTreeMap<(usize, u32, String), Vec<u8>>,
    /// Configuration of the VM.
    pub vm_configuration: Vec<u8>,
    /// Things a real proxy would hang or misbehave on. A test fails when there is one.
    pub breaches: Vec<String>,
    /// Set when the host traps the module on purpose.
    pub demanded_trap: Option<&'static str>,
    /// Number of the machine: proxies of one test draw different seeds.
    pub machine: u64,
    next_token: u32,
}

impl Proxy {
    /// Proxy of a kind with an empty state. The clock starts at a fixed date.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            clock: 1_790_000_000_000 * MILLISECOND,
            wall_offset_ms: 0,
            current: Current {
                vm: 0,
                context: 0,
                phase: Phase::Initialize,
            },
            shared: SharedData::default(),
            metrics: metrics::Metrics::default(),
            log: Vec::new(),
            faults: Faults::default(),
            scripted_properties: BTreeMap::new(),
            clusters: BTreeSet::new(),
            calls: Vec::new(),
            call_response: None,
            roots: BTreeMap::new(),
            streams: BTreeMap::new(),
            timers: BTreeMap::new(),
            filter_state: BTreeMap::new(),
            vm_configuration: Vec::new(),
            breaches: Vec::new(),
            demanded_trap: None,
            machine: 0,
            next_token: 0,
        }
    }

    fn intercept(&mut self, call: Hostcall) -> Answer<()> {
        self.faults.intercept(call, self.current.phase)
    }

    /// Counts a call that the emulated proxy has no state for; gives the scripted status, or that of real Envoy.
    pub fn stateless(&mut self, call: Hostcall) -> Answer<()> {
        self.intercept(call)?;
        match call {
            Hostcall::Done => Ok(()),
            Hostcall::Dequeue => Err(EMPTY),
            Hostcall::RegisterQueue | Hostcall::ResolveQueue | Hostcall::Enqueue => Err(NOT_FOUND),
            Hostcall::CallForeignFunction => Err(NOT_FOUND),
            Hostcall::CloseStream => Ok(()),
            _ => Err(UNIMPLEMENTED),
        }
    }

    /// `proxy_get_current_time_nanoseconds`.
    pub fn time(&mut self) -> Answer<u64> {
        self.intercept(Hostcall::GetTime)?;
        Ok(self.wall())
    }

    /// What the wall clock says, nanoseconds since 1970.
    pub const fn wall(&self) -> u64 {
        let offset = self.wall_offset_ms.saturating_mul(MILLISECOND as i64);
        self.clock.saturating_add_signed(offset)
    }

    /// `proxy_log`.
    pub fn log(&mut self, level: u32, text: &str) -> Answer<()> {
        self.intercept(Hostcall::Log)?;
        if level > 5 {
            return Err(BAD_ARGUMENT);
        }
        self.log.push(LogLine {
            vm: self.current.vm,
            level,
            text: text.to_owned(),
        });
        Ok(())
    }

    /// `proxy_get_log_level`: info.
    pub fn log_level(&mut self) -> Answer<u32> {
        self.intercept(Hostcall::GetLogLevel)?;
        Ok(2)
    }

    /// `proxy_set_tick_period_milliseconds`.
    pub fn set_tick(&mut self, period_ms: u32) -> Answer<()> {
        self.intercept(Hostcall::SetTick)?;
        let root = self.stream().map_or(self.current.context, |s| s.root);
        let key = (self.current.vm, root);
        if self.profile.ticks == Ticks::Once && self.timers.contains_key(&key) {
            self.demanded_trap = Some("the tick period can be set once on this host");
            return Err(BAD_ARGUMENT);
        }
        if period_ms == 0 {
            self.timers.remove(&key);
        } else {
            let next = self.clock + u64::from(period_ms) * MILLISECOND;
            self.timers.insert(key, Timer { period_ms, next });
        }
        Ok(())
    }

    /// `proxy_get_shared_data`.
    pub fn shared_get(&mut self, key: &[u8]) -> Answer<(Vec<u8>, u32)> {
        self.intercept(Hostcall::GetSharedData)?;
        self.shared.get(key)
    }

    /// `proxy_set_shared_data`.
    pub fn shared_set(&mut self, key: &[u8], value: &[u8], cas: u32) -> Answer<()> {
        self.intercept(Hostcall::SetSharedData)?;
        self.shared.set(key, value, cas)
    }

    /// `proxy_define_metric`.
    pub fn define_metric(&mut self, kind: u32, name: &str) -> Answer<u32> {
        self.intercept(Hostcall::DefineMetric)?;
        self.metrics.define(kind, name)
    }

    /// `proxy_increment_metric`.
    pub fn increment_metric(&mut self, id: u32, offset: i64) -> Answer<()> {
        self.intercept(Hostcall::IncrementMetric)?;
        self.metrics.increment(id, offset)?;
        let name = self.metrics.name(id).unwrap_or_default().to_owned();
        let verdict =
            name.starts_with("plimsoll_decisions.") || name.starts_with("plimsoll_rejected.");
        if verdict && let Some(stream) = self.stream_mut() {
            stream.counted.push(name);
        }
        Ok(())
    }

    /// `proxy_record_metric`.
    pub fn record_metric(&mut self, id: u32, value: u64) -> Answer<()> {
        self.intercept(Hostcall::RecordMetric)?;
        self.metrics.record(id, value)
    }

    /// `proxy_get_metric`.
    pub fn read_metric(&mut self, id: u32) -> Answer<u64> {
        self.intercept(Hostcall::GetMetric)?;
        self.metrics.read(id)
    }

    /// `proxy_get_status`: status of the last gRPC or HTTP call.
    pub fn call_status(&mut self) -> Answer<u32> {
        self.intercept(Hostcall::GetStatus)?;
        Ok(0)
    }

    /// Deterministic bytes that differ between VMs and machines, for `random_get` and the native runtime's seed.
    pub fn entropy(&self) -> u64 {
        // SplitMix64 of the two numbers: spread over all bits, the same on every run.
        let number = (self.machine << 32) + self.current.vm as u64 + 1;
        let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Lines at `error` or above.
    pub fn errors(&self) -> Vec<&str> {
        self.log
            .iter()
            .filter(|line| line.level >= 4)
            .map(|line| line.text.as_str())
            .collect()
    }
}
