//! Promises about hosts that change: one is throttled, one joins cold.

use plimsoll_core::config::Config;
use plimsoll_sim::engine::{Fleet, Gpu};
use plimsoll_sim::fleet::Faults;
use plimsoll_sim::report::mean;

use super::{Check, MANY, ONE};
use crate::commands::arena::{Arena, Proxies};
use crate::commands::contest::Routers;
use crate::commands::parallel;
use crate::commands::series::Course;
use crate::commands::workload::{Scenario, Workload};

/// Hosts of the fleet; the last but four is the one that changes.
const HOSTS: usize = 8;
/// The host that changes, and when, seconds.
pub(crate) const HOST: usize = 3;
/// See [`HOST`].
pub(crate) const AT: f64 = 30.0;
/// Load and requests: 30 seconds before and 45 after.
const LOAD: f64 = 1.0;
const REQUESTS: usize = 6000;

/// Its share of the fleet's speed once it runs at half.
pub(crate) const THROTTLED: f64 = 0.5 / (HOSTS as f64 - 0.5);
/// Its share of the fleet's speed otherwise.
pub(crate) const FAIR: f64 = 1.0 / HOSTS as f64;

/// How a host changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its rate halves.
    Throttle,
    /// It joins with an empty cache.
    Join,
}

/// The courses of one policy over the seeds while a host changes.
pub(crate) fn courses(
    kind: Kind,
    policy: &str,
    routers: Routers,
    seeds: u64,
    config: &Config,
) -> Result<Vec<Course>, String> {
    let what = match kind {
        Kind::Throttle => "speed=0.5",
        Kind::Join => "join",
    };
    let event = format!("t={AT}s host={HOST} {what}").parse()?;
    let proxies = Proxies {
        routers: routers.count,
        poll_ms: routers.poll_ms,
        faults: Faults {
            events: vec![event],
            ..Faults::default()
        },
        ..Proxies::default()
    };
    let seeds: Vec<u64> = (1..=seeds).collect();
    let courses = parallel::map(&seeds, |&seed| {
        let workload = Workload::new(None, Some(Scenario::Agents), LOAD, REQUESTS);
        let fleet = Fleet(vec![Gpu::H200; HOSTS]);
        let arena = Arena::new(&workload, &fleet, 64, seed, true)?;
        Ok(arena.course(policy, &proxies, config))
    });
    courses.into_iter().collect()
}

/// Mean share of the host from `from` to `to` seconds after it changes.
pub(crate) fn share(courses: &[Course], from: f64, to: f64) -> f64 {
    let shares = courses
        .iter()
        .map(|course| course.share(HOST, AT + from, AT + to));
    mean(&shares.collect::<Vec<_>>())
}

/// Both promises, with one router and with many.
pub(super) fn checks(seeds: u64, config: &Config) -> Result<Vec<Check>, String> {
    let mut checks = Vec::new();
    for routers in [ONE, MANY] {
        let throttled = courses(Kind::Throttle, "plimsoll", routers, seeds, config)?;
        checks.push(Check::at_most(
            format!("throttled host: share 10 to 20 s after, of its share of speed, {routers}"),
            share(&throttled, 10.0, 20.0) / THROTTLED,
            1.25,
        ));
        let joined = courses(Kind::Join, "plimsoll", routers, seeds, config)?;
        let shares: Vec<f64> = (0..6)
            .map(|window| f64::from(window) * 5.0)
            .map(|from| share(&joined, from, from + 5.0) / FAIR)
            .collect();
        let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
        let most = shares.iter().copied().fold(0.0, f64::max);
        checks.push(Check::at_least(
            format!("cold join: least share in 5 s of the first 30, of a fair one, {routers}"),
            least,
            0.5,
        ));
        checks.push(Check::at_most(
            format!("cold join: most share in 5 s of the first 30, of a fair one, {routers}"),
            most,
            1.5,
        ));
    }
    Ok(checks)
}
