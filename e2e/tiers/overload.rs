//! Five tenants of three tiers ask for half of what the engines can do, then for half as much again as they can; one asks for ten times what its
//! equals do. The same without tiers stands beside it.

use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_e2e::{Fate, Figure, Fleet, Load, Record, Setting, Stand, Tally};
use plimsoll_sim::tiers::{GUARANTEED, POLICY, TENANTS, fairness};
use serde_json::{Value, json};

/// Engines, each in a process of its own.
const HOSTS: usize = 4;
/// Requests a second that they complete at most, measured (see docs/chaos.md: 170 of eight).
const CAPACITY: f64 = 85.0;
/// Offered load as a share of the capacity, and the calm one that it is held against.
const LOADED: f64 = 1.5;
const CALM: f64 = 0.5;
/// Part of the time in which queues settle; what is sent in it is not counted.
const WARMUP: f64 = 0.125;
/// How often a client asks that is told when to come back.
const TRIES: u32 = 4;
/// Longest wait that the policy allows its lower tiers.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

pub(crate) struct Overload {
    pub(crate) tiers: Vec<Figure>,
    pub(crate) beside: Vec<Figure>,
}

/// What one tenant got.
struct Got {
    name: &'static str,
    tier: &'static str,
    counted: Tally,
    /// Cost a second that was served while requests were sent.
    cost: f64,
    /// Cost a second that was asked for in that time.
    wanted: f64,
    /// Requests a second that were served in that time.
    rate: f64,
}

impl Got {
    fn p99(&self) -> f64 {
        self.counted.ttft(0.99).as_secs_f64() * 1000.0
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.counted.records.iter()
    }
}

pub(crate) async fn play(time: Duration) -> Overload {
    let fleet = Fleet::start(HOSTS, "h200", 1).await;
    let tiered = configuration();
    // The same requests at both loads, so that a percentile compares like with like.
    let longer = time.mul_f64(LOADED / CALM);
    let (calm, _) = at(&fleet, &tiered, CALM, longer).await;
    let (loaded, late) = at(&fleet, &tiered, LOADED, time).await;
    let (first_come, _) = at(&fleet, &json!({}), LOADED, time / 2).await;
    let judged = |figure: Figure| figure.unless_late(late);
    let mut tiers: Vec<Figure> = shares(&calm, &loaded).into_iter().map(judged).collect();
    tiers.extend(waits(&loaded).into_iter().map(judged));
    tiers.extend(promises(&loaded));
    Overload {
        tiers,
        beside: shares(&calm, &first_come),
    }
}

/// The policy of `plimsoll-sim tiers`, for tenants that a header names.
fn configuration() -> Value {
    let mut configuration: Value =
        serde_json::from_str(&format!("{{{POLICY}}}")).expect("the policy is JSON");
    configuration["tenants"] = TENANTS
        .iter()
        .map(|tenant| json!({"name": tenant.name, "tier": tenant.tier}))
        .collect();
    configuration["explain"] = json!(true);
    configuration["identity"] = json!({"header": "x-tenant", "trusted_hops": ["127.0.0.0/8"]});
    configuration
}

/// Everybody asks for `share` of the capacity together. Returns also the engines' largest delay.
async fn at(
    fleet: &Fleet,
    configuration: &Value,
    share: f64,
    time: Duration,
) -> (Vec<Got>, Duration) {
    let stand = Stand::start(Setting {
        concurrency: 2,
        ..Setting::hosts(fleet.addresses.clone()).configuration(configuration.clone())
    })
    .await;
    let parts: f64 = TENANTS.iter().map(|tenant| tenant.part).sum();
    let mut running = Vec::new();
    for (seed, tenant) in (1..).zip(&TENANTS) {
        let rate = CAPACITY * share * tenant.part / parts;
        running.push(load(stand.address(), tenant.name, rate, seed).start());
    }
    tokio::time::sleep(time).await;
    let stopping = running.into_iter().map(|load| tokio::spawn(load.stop()));
    let stopping: Vec<_> = stopping.collect();
    let mut got = Vec::new();
    for (tenant, stopping) in TENANTS.iter().zip(stopping) {
        let tally = stopping.await.expect("no load panics");
        let warm = time.mul_f64(WARMUP);
        let counted = tally.between(warm, Duration::MAX);
        let served = tally
            .records
            .iter()
            .filter(|record| record.fate == Fate::Whole && (warm..time).contains(&record.end));
        let seconds = (time - warm).as_secs_f64();
        got.push(Got {
            name: tenant.name,
            tier: tenant.tier,
            cost: served.clone().map(cost).sum::<f64>() / seconds,
            wanted: counted.records.iter().map(cost).sum::<f64>() / seconds,
            rate: served.count() as f64 / seconds,
            counted,
        });
    }
    stand.released().await;
    stand.assert_sound();
    (got, fleet.late().await)
}

/// What a request weighs in the fair shares: its prompt's tokens, and those of its answer twice.
fn cost(record: &Record) -> f64 {
    (record.prompt_tokens + 2 * record.output_tokens) as f64
}

fn load(target: SocketAddr, tenant: &'static str, rate: f64, seed: u64) -> Load {
    let name = "x-tenant".parse().expect("a name");
    let value = tenant.parse().expect("a value");
    Load {
        headers: vec![(name, value)],
        patience: Duration::from_secs(60),
        tries: TRIES,
        comes_back_within: Duration::from_secs(30),
        usage: true,
        seed,
        ..Load::on([target], rate)
    }
}

/// What times and shares come to.
fn shares(calm: &[Got], loaded: &[Got]) -> Vec<Figure> {
    let all: f64 = loaded.iter().map(|got| got.cost).sum();
    let equal = loaded.iter().filter(|got| got.tier == "interactive");
    let divided: Vec<(f64, f64)> = equal.map(|got| (got.wanted, got.cost)).collect();
    let ([voice, .., nightly], [calm, ..]) = (loaded, calm) else {
        return Vec::new();
    };
    vec![
        Figure::told(
            "requests a second that were served",
            loaded.iter().map(|got| got.rate).sum::<f64>(),
            "",
        ),
        Figure::told("tokens a second that were served, output twice", all, ""),
        Figure::told("p99 TTFT of the top tier, at 50 % load", calm.p99(), "ms"),
        Figure::at_most(
            "p99 TTFT of the top tier, of that at 50 % load",
            voice.p99() / calm.p99(),
            1.2,
            "x",
        ),
        Figure::at_least(
            "share of the lowest tier",
            nightly.cost / all,
            GUARANTEED.min(nightly.wanted / all),
            "",
        ),
        Figure::at_least(
            "Jain index of equal tenants' tokens, against fair parts",
            fairness(&divided),
            0.95,
            "",
        ),
    ]
}

/// How long tenants of lower tiers waited.
fn waits(loaded: &[Got]) -> Vec<Figure> {
    let all = || loaded.iter().flat_map(Got::records);
    let vain = all()
        .filter(|record| record.fate == Fate::Status(504))
        .count();
    let longest = all().map(|record| record.waited).max().unwrap_or_default();
    vec![
        Figure::at_most(
            "longest wait of any request that was let through",
            longest.as_secs_f64() * 1000.0,
            // Until the next tick.
            LONGEST_WAIT.as_secs_f64() * 1000.0 + 25.0,
            "ms",
        ),
        Figure::at_most(
            "share of requests that waited in vain (504)",
            vain as f64 / all().count().max(1) as f64,
            0.01,
            "",
        ),
    ]
}

/// Whether clients that come back when they were told are served.
fn promises(loaded: &[Got]) -> Vec<Figure> {
    let crawler = loaded.iter().find(|got| got.name == "crawler");
    let told: Vec<&Record> = crawler
        .iter()
        .flat_map(|got| got.records())
        .filter(|record| record.tries > 1)
        .collect();
    let kept = told
        .iter()
        .filter(|record| record.tries == 2 && record.fate == Fate::Whole);
    let kept = kept.count() as f64 / told.len().max(1) as f64;
    vec![
        Figure::at_least(
            "requests of the abusive tenant that were told to come back",
            told.len() as f64,
            1,
            "",
        ),
        Figure::at_least("of those, served at the second try", kept, 0.9, ""),
    ]
}
