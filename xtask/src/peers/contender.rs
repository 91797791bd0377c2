//! Who is compared, and how each is run.

use plimsoll_envoy::Policy;

use crate::failure::Failure;
use crate::peers::{nginx, router};
use crate::race::{self, Fleet, Plan, Proxy};
use crate::repo::Repo;
use crate::setup;

/// In the order they run and are printed; Plimsoll last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Contender {
    RoundRobin,
    LeastRequest,
    Nginx,
    SglangRouter,
    Smg,
    SmgTuned,
    VllmRouter,
    Plimsoll,
}

impl Contender {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastRequest => "least_request",
            Self::Nginx => "nginx",
            Self::SglangRouter => "sglang_router",
            Self::Smg => "smg",
            Self::SmgTuned => "smg_tuned",
            Self::VllmRouter => "vllm_router",
            Self::Plimsoll => "plimsoll",
        }
    }

    /// The installed version; `None` when it is not installed.
    pub(super) fn version(self, repo: &Repo) -> Option<String> {
        match self {
            Self::RoundRobin | Self::LeastRequest | Self::Plimsoll => Some(setup::ENVOY.to_owned()),
            Self::Nginx => nginx::version(repo),
            Self::SglangRouter => router::SGLANG.version(repo),
            Self::Smg | Self::SmgTuned => router::SMG.version(repo),
            Self::VllmRouter => router::VLLM.version(repo),
        }
    }

    /// What runs, in words.
    pub(super) fn describe(self, version: &str) -> String {
        match self {
            Self::RoundRobin => format!("Envoy {version}, round_robin"),
            Self::LeastRequest => format!("Envoy {version}, least_request over all hosts"),
            Self::Nginx => format!("nginx {version}, least_conn with a shared zone"),
            Self::SglangRouter => format!("sglang-router {version}, cache_aware, defaults"),
            Self::Smg => format!("smg {version}, cache_aware, defaults"),
            Self::SmgTuned => format!("smg {version}, cache_aware, tuned to this run"),
            Self::VllmRouter => format!("vllm-router {version}, cache_aware, defaults"),
            Self::Plimsoll => format!("Plimsoll in Envoy {version}"),
        }
    }

    /// Runs it in front of the fleet; returns when it routes to every engine.
    pub(super) fn start(
        self,
        repo: &Repo,
        plan: &Plan,
        fleet: &Fleet,
    ) -> Result<Box<dyn Proxy>, Failure> {
        let envoy = |policy| race::envoy::start(repo, plan, fleet, policy, false);
        Ok(match self {
            Self::RoundRobin => Box::new(envoy(Policy::RoundRobin)?),
            Self::LeastRequest => Box::new(envoy(Policy::LeastRequest)?),
            Self::Plimsoll => Box::new(envoy(Policy::Plimsoll)?),
            Self::Nginx => Box::new(nginx::start(repo, fleet)?),
            Self::SglangRouter => Box::new(router::SGLANG.start(repo, fleet, &[])?),
            Self::Smg => Box::new(router::SMG.start(repo, fleet, &[])?),
            Self::SmgTuned => {
                Box::new(router::SMG.start(repo, fleet, &router::smg_tuning(plan.speedup))?)
            }
            Self::VllmRouter => Box::new(router::VLLM.start(repo, fleet, &[])?),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn the_table_and_the_command_line_use_the_same_names() {
        for contender in Contender::value_variants() {
            let value = contender.to_possible_value().unwrap();
            assert_eq!(value.get_name(), contender.name());
        }
        assert_eq!(
            Contender::value_variants().last(),
            Some(&Contender::Plimsoll)
        );
    }
}
