//! CPU and latency that the filter adds to the same Envoy, in one run, alternating with and without, and with a filter
//! that does nothing: less than that one costs no module can.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll_envoy::process::{free_address, wait_for};
use plimsoll_envoy::{Admin, Envoy, EnvoyBinary, Host, Launch, Options, Policy};

use crate::bench::{client, cpu, upstream};
use crate::failure::Failure;
use crate::interrupt;
use crate::repo::Repo;
use crate::wasm;

const HOSTS: usize = 4;
/// Place of this checkout's module among the sides.
const OURS: usize = 2;
/// CPU that polling 256 hosts may cost, percent of a core.
const COLLECTOR_PERCENT: f64 = 5.0;
/// Enough to keep one worker busy.
const CONNECTIONS: u32 = 8;
/// How long an Envoy is watched without requests, for the cost of ticks and polls.
const IDLE: Duration = Duration::from_secs(2);

/// `[added]` of `budgets.toml`, microseconds of CPU a request.
#[derive(serde::Deserialize)]
struct Budget {
    cpu_us_2_kib: f64,
    cpu_us_400_kib: f64,
}

#[derive(serde::Deserialize)]
struct Budgets {
    added: Budget,
}

/// One side of the comparison: an Envoy and what it has cost so far.
struct Side {
    name: String,
    envoy: Envoy,
    /// Nanoseconds of CPU a second without requests.
    idle: f64,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy)]
struct Round {
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// The do-nothing filter, as text.
const EMPTY: &str = include_str!("empty.wat");

/// What to measure.
pub(crate) struct Plan<'a> {
    /// Requests in one round of one size.
    pub(crate) requests: u32,
    /// Rounds with and without the filter, alternating.
    pub(crate) rounds: u32,
    /// Other modules to measure beside ours, such as that of another commit.
    pub(crate) against: &'a [PathBuf],
}

pub(crate) fn run(repo: &Repo, plan: &Plan<'_>) -> Result<(), Failure> {
    wasm::build(repo)?;
    let budgets: Budgets = toml::from_str(&fs::read_to_string(repo.root().join("budgets.toml"))?)
        .map_err(|error| Failure::new(format!("budgets.toml: {error}")))?;
    let hosts: Vec<SocketAddr> = (0..HOSTS)
        .map(|_| upstream::start())
        .collect::<Result<_, _>>()?;
    let empty = repo.target().join("empty.wasm");
    let code = wat::parse_str(EMPTY).map_err(|error| Failure::new(error.to_string()))?;
    fs::write(&empty, code)?;
    let ours = repo.module();
    let mut sides = vec![
        start(repo, &hosts, "without", None)?,
        start(repo, &hosts, "empty filter", Some(&empty))?,
        start(repo, &hosts, "plimsoll", Some(&ours))?,
    ];
    for module in plan.against {
        let name = module.file_stem().unwrap_or_default().to_string_lossy();
        sides.push(start(repo, &hosts, &name, Some(module))?);
    }
    for side in &sides {
        println!(
            "idle, 1 worker, {HOSTS} hosts, {}: {:.2} % of a core",
            side.name,
            side.idle / 1e7
        );
    }
    println!(
        "{:<9}{:<14}{:>10}{:>12}{:>10}{:>10}{:>12}{:>12}",
        "prompt", "filter", "CPU us", "added us", "budget", "p50 us", "added p50", "added p99"
    );
    let sizes = [
        ("2 KiB", 2 << 10, plan.requests, budgets.added.cpu_us_2_kib),
        (
            "400 KiB",
            400 << 10,
            plan.requests / 8,
            budgets.added.cpu_us_400_kib,
        ),
    ];
    let mut misses = Vec::new();
    for (name, bytes, count, budget) in sizes {
        for side in &mut sides {
            side.rounds.clear();
        }
        // The first round warms caches, connections and the JIT, and is dropped.
        for round in 0..=plan.rounds {
            interrupt::check()?;
            for side in &mut sides {
                let measured = measure(side, bytes, count, u64::from(round))?;
                if round > 0 {
                    side.rounds.push(measured);
                }
            }
        }
        let alone = median(&sides[0].rounds);
        for (place, side) in sides.iter().enumerate() {
            let with = median(&side.rounds);
            let added = with.cpu_us - alone.cpu_us;
            let budget_shown = if place == OURS {
                budget.to_string()
            } else {
                String::new()
            };
            println!(
                "{name:<9}{:<14}{:>10.1}{added:>12.1}{budget_shown:>10}{:>10.0}{:>12.0}{:>12.0}",
                side.name,
                with.cpu_us,
                with.p50_us,
                with.p50_us - alone.p50_us,
                with.p99_us - alone.p99_us,
            );
            if place == OURS && added > budget {
                misses.push(format!(
                    "MISS {name}: {added:.1} microseconds of CPU added, budget {budget:.0}"
                ));
            }
        }
    }
    println!(
        "one decision inside the module: mean {:.1} us",
        decision_us(&sides[OURS].envoy)?
    );
    for miss in &misses {
        println!("{miss}");
    }
    println!(
        "medians of {} alternating rounds; CPU with {CONNECTIONS} connections, times with one; ticks and polls are in the idle lines",
        plan.rounds
    );
    Ok(())
}

/// What polling a large fleet costs: CPU without any request, against the same Envoy without the filter.
pub(crate) fn collector(repo: &Repo, against: &[PathBuf]) -> Result<(), Failure> {
    wasm::build(repo)?;
    const FLEET: usize = 256;
    // As long as a page of vLLM 0.32. Leaked once: the engines serve it until the process ends.
    let page: &'static str = upstream::page(48 << 10).leak();
    let hosts: Vec<SocketAddr> = (0..FLEET)
        .map(|_| upstream::start_with(page))
        .collect::<Result<_, _>>()?;
    let ours = repo.module();
    let alone = start(repo, &hosts, "", None)?.idle / 1e7;
    for module in core::iter::once(&ours).chain(against) {
        let added = start(repo, &hosts, "", Some(module))?.idle / 1e7 - alone;
        println!(
            "collector and ticks, {FLEET} hosts of 48 KiB pages at 5 Hz: {added:.1} % of a core (budget {COLLECTOR_PERCENT} %){} {}",
            if added > COLLECTOR_PERCENT {
                "  MISS"
            } else {
                ""
            },
            if *module == ours {
                String::new()
            } else {
                module.display().to_string()
            },
        );
    }
    Ok(())
}

/// Starts an Envoy with `module` as the filter, or without one.
fn start(
    repo: &Repo,
    hosts: &[SocketAddr],
    name: &str,
    module: Option<&Path>,
) -> Result<Side, Failure> {
    let binary = EnvoyBinary::find(repo.root())?;
    let directory = Envoy::directory()?;
    let options = Options {
        listen: free_address()?,
        admin: Admin::private(directory.path()),
        hosts: hosts.iter().copied().map(Host::from).collect(),
        policy: module.map_or(Policy::RoundRobin, |_| Policy::Plimsoll),
        module: module.map_or_else(|| repo.module(), Path::to_path_buf),
        ..Options::default()
    };
    let launch = Launch {
        binary: &binary,
        options,
        concurrency: 1,
        log_level: "warning",
        log: None,
        shared_group: false,
    };
    let envoy = Envoy::start(launch, directory)?;
    if module.is_some_and(|module| !module.ends_with("empty.wasm")) {
        knows_the_hosts(&envoy, hosts.len())?;
    }
    let (from, start) = (cpu::nanos(envoy.id())?, Instant::now());
    thread::sleep(IDLE);
    let idle = (cpu::nanos(envoy.id())? - from) as f64 / start.elapsed().as_secs_f64();
    Ok(Side {
        name: name.to_owned(),
        envoy,
        idle,
        rounds: Vec::new(),
    })
}

/// Waits until the workers hold a snapshot: what is measured is the full decision.
fn knows_the_hosts(envoy: &Envoy, hosts: usize) -> Result<(), Failure> {
    let wanted = format!("plimsoll_hosts{{}} {hosts}");
    wait_for(Duration::from_secs(10), || {
        let page = envoy.admin().get("/stats/prometheus").ok()?.body;
        page.lines().any(|line| line == wanted).then_some(())
    })
    .ok_or_else(|| Failure::new("the filter has found no hosts"))
}

/// Mean time of a decision as the module itself has measured it, without host calls around it.
fn decision_us(envoy: &Envoy) -> Result<f64, Failure> {
    // Envoy merges histograms every five seconds.
    wait_for(Duration::from_secs(10), || {
        let page = envoy.admin().get("/stats/prometheus").ok()?.body;
        let value = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name))?;
            line.rsplit_once(' ')?.1.parse::<f64>().ok()
        };
        let count = value("plimsoll_decision_ns_count")?;
        (count > 0.0).then_some(value("plimsoll_decision_ns_sum")? / count / 1e3)
    })
    .ok_or_else(|| Failure::new("Envoy shows no plimsoll_decision_ns"))
}

/// CPU of a busy worker, then times of single requests on an idle one: a worker that sleeps between two
/// requests wakes to cold caches, which is no property of the filter.
fn measure(side: &Side, bytes: usize, count: u32, seed: u64) -> Result<Round, Failure> {
    let (pid, target) = (side.envoy.id(), side.envoy.options().listen);
    let (from, start) = (cpu::nanos(pid)?, Instant::now());
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let seed = seed * u64::from(CONNECTIONS) + u64::from(number);
                scope.spawn(move || client::measure(target, bytes, count / CONNECTIONS, seed))
            })
            .collect();
        clients.into_iter().try_for_each(|client| {
            client
                .join()
                .map_err(|_| Failure::new("a client thread has panicked"))?
                .map(drop)
        })
    })?;
    let used = (cpu::nanos(pid)? - from) as f64;
    let background = side.idle * start.elapsed().as_secs_f64();
    let sent = f64::from(count / CONNECTIONS * CONNECTIONS);
    let times = client::measure(target, bytes, count / 4, seed)?;
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times
            .get(index)
            .map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    Ok(Round {
        cpu_us: (used - background) / sent / 1e3,
        p50_us: at(50),
        p99_us: at(99),
    })
}

fn median(rounds: &[Round]) -> Round {
    let of = |field: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(field).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Round {
        cpu_us: of(|r| r.cpu_us),
        p50_us: of(|r| r.p50_us),
        p99_us: of(|r| r.p99_us),
    }
}
