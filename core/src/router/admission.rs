//! The door: who asks, and whether the request goes at once, waits, or is told to come back.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::decide::decide;
use super::{Outcome, Router, Verdict};
use crate::admit::{Admission, Arrival, Ask, Hold, Release, Shed, ShedReason, Waiting, of_fleet};
use crate::cost::Estimate;
use crate::eligible;
use crate::explain::Step;
use crate::inflight::{Flight, Ticket};
use crate::policy::each;
use crate::request::Request;
use crate::rng;
use crate::score::{self, Context};
use crate::tenant::{Claims, Denied, Directory, Member};
use crate::time::{Instant, Micros};

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Whose request it is, as [`Router::identify`] says.
    pub member: Member,
    /// When the first token is wanted, from now.
    pub slo: Option<Micros>,
    /// The adapter's name of the request, in [`Release::tag`].
    pub tag: u32,
}

/// An output token costs as much service as this many prompt tokens.
const OUTPUT_COST: u64 = 2;

impl Router {
    /// Whether requests have to have a tenant.
    pub fn identifies(&self) -> bool {
        !self.config.tiers.is_empty()
    }

    /// Whose request it is; only where [`Self::identifies`].
    ///
    /// # Errors
    /// Why nobody may ask for it.
    pub fn identify(&self, claims: &Claims<'_>) -> Result<Member, Denied> {
        self.directory.identify(claims)
    }

    pub(super) fn configure_admission(&mut self) {
        self.directory = Directory::new(&self.config);
        match &mut self.admission {
            Some(admission) => admission.configure(&self.config),
            None if self.config.tiers.is_empty() => {}
            None => self.admission = Some(Box::new(Admission::new(&self.config))),
        }
    }

    /// Says that the proxy cannot resume requests that wait: what cannot go at once is shed.
    pub fn without_queue(&mut self) {
        if let Some(admission) = &mut self.admission {
            admission.without_queue();
        }
    }

    /// Lets all who wait go with the next releases, and nobody wait any more: this router is being replaced.
    pub fn open(&mut self) {
        if let Some(admission) = &mut self.admission {
            admission.open();
        }
    }

    /// A request of `caller` arrives: it is decided as [`Self::on_request`] decides (on record, if there is one), or waits, or is shed. Without tiers the caller does not
    /// matter.
    pub fn on_arrival(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        caller: &Caller,
        record: Option<&mut Vec<u8>>,
    ) -> Verdict {
        let Some(mut admission) = self.admission.take() else {
            return decide(self, now, request, record);
        };
        let (estimate, _) = self.costs.estimate(request);
        let last = request.blocks.last().map_or(0, |block| block.hash);
        let ask = Ask {
            member: caller.member,
            tokens: estimate
                .prompt_tokens
                .saturating_add(estimate.output_tokens),
            cost: cost_of(estimate.prompt_tokens, estimate.output_tokens),
            bytes: request.prompt_bytes,
            model: request.model,
            slo: caller.slo,
            key: rng::mix(last ^ rng::mix(request.prompt_bytes) ^ request.session).max(1),
            seed: request.seed,
            tag: caller.tag,
        };
        let saturation = self.saturation(now, request.model);
        let arrival = admission.arrive(now, &ask, saturation);
        self.admission = Some(admission);
        match arrival {
            Arrival::Go(hold) => self.send(now, request, hold, record),
            Arrival::Queue(waiting) => Verdict::Queue(waiting),
            Arrival::Shed(shed) => Verdict::Shed(shed),
        }
    }

    /// The next request that need not wait any longer. The adapter answers the client, or calls [`Self::on_release`], before it asks for
    /// the next one: what is sent saturates the fleet.
    pub fn next_release(&mut self, now: Instant) -> Option<Release> {
        let mut admission = self.admission.take()?;
        let release = admission.next(now, |model| self.saturation(now, model));
        self.admission = Some(admission);
        release
    }

    /// Decides where the request of `waiting` goes, which [`Self::next_release`] has let through.
    pub fn on_release(
        &mut self,
        now: Instant,
        waiting: Waiting,
        request: &Request<'_>,
        record: Option<&mut Vec<u8>>,
    ) -> Verdict {
        let hold = self.admission.as_mut().and_then(|a| a.take(waiting));
        match hold {
            Some(hold) => self.send(now, request, hold, record),
            None => Verdict::Shed(Shed::flat(ShedReason::QueueTimeout)),
        }
    }

    /// The client of a request that waits has left.
    pub fn on_leave(&mut self, waiting: Waiting) {
        if let Some(admission) = &mut self.admission {
            admission.leave(waiting);
        }
    }

    /// Requests that wait, by tier.
    pub fn waiting(&self) -> impl Iterator<Item = usize> {
        self.admission.iter().flat_map(|a| a.waiting())
    }

    /// Requests that hold a reservation, and the tokens they hold.
    pub fn reserved(&self) -> (u64, u64) {
        self.admission.as_ref().map_or((0, 0), |a| a.reserved())
    }

    /// Writes what the proxy's other workers are to know of its tenants into `out`, which is emptied first, and stays empty where there are no tiers.
    pub fn write_tenants(&mut self, now: Instant, out: &mut Vec<u8>) {
        out.clear();
        if let Some(admission) = &mut self.admission {
            admission.tell(now, self.seed, out);
        }
    }

    /// Takes over what the worker in `slot` said of its tenants.
    pub fn apply_tenants(&mut self, now: Instant, slot: usize, said: &[u8]) {
        if let Some(admission) = &mut self.admission {
            admission.hear(now, slot, said);
        }
    }

    fn send(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        hold: Hold,
        record: Option<&mut Vec<u8>>,
    ) -> Verdict {
        let verdict = decide(self, now, request, record);
        match &verdict {
            Verdict::Forward(decision) if decision.ticket != Ticket::NONE => {
                if let Some(flight) = self.inflight.get_mut(decision.ticket) {
                    flight.hold = hold;
                }
            }
            // Nobody will see its end, so it is taken at its estimate.
            Verdict::Forward(_) | Verdict::Pass(_) => {
                if let Some(admission) = &mut self.admission {
                    admission.settle(&hold, hold.tokens, hold.cost);
                }
            }
            _ => {
                if let Some(admission) = &mut self.admission {
                    admission.refund(&hold);
                }
            }
        }
        verdict
    }

    /// The request of `flight` has ended: its reservation with it.
    pub(super) fn settle(&mut self, flight: &Flight, outcome: Outcome, gpu: Micros) {
        let Some(admission) = self.admission.as_mut().filter(|_| flight.hold.tenant != 0) else {
            return;
        };
        admission.spend(&flight.hold, gpu);
        let seen = u64::from(flight.tokens);
        let refused = outcome.failed || (400..600).contains(&outcome.status);
        match flight.usage {
            Some(usage) => {
                let (prompt, output) = (usage.prompt_tokens.into(), usage.completion_tokens.into());
                let tokens = u64::saturating_add(prompt, output);
                admission.settle(&flight.hold, tokens, cost_of(prompt, output));
            }
            None if refused && seen == 0 => admission.refund(&flight.hold),
            // An answer that is not streamed and does not say what it used.
            None if seen == 0 && !outcome.aborted => {
                admission.settle(&flight.hold, flight.hold.tokens, flight.hold.cost);
            }
            // Whoever leaves early has had his prompt read all the same.
            None => {
                let prompt = flight.prompt_tokens;
                let tokens = prompt.saturating_add(seen);
                admission.settle(&flight.hold, tokens, cost_of(prompt, seen));
            }
        }
    }

    pub(super) fn tick_admission(&mut self, now: Instant) {
        if let Some(admission) = &mut self.admission {
            admission.on_tick(now);
            if admission.is_over() {
                self.admission = None;
            }
        }
    }

    /// How full the hosts are that may serve `model`, Q16; 0 where none may.
    fn saturation(&mut self, now: Instant, model: u64) -> u64 {
        let asked = eligible::Question {
            now,
            model,
            seed: 0,
            full: self.is_full(),
        };
        let eligible = &mut self.scratch.eligible;
        let (_, ruled_out, _) = eligible::mark(&self.fleet, &self.config, asked, eligible);
        let context = Context {
            estimate: Estimate::default(),
            mean_uncached: self.mean_uncached,
            foreign: self.fleet.foreign(),
            polled: super::decide::step(self, now) == Step::Full,
            stale_after: self.config.stale_after,
            health: &self.config.health,
            now,
        };
        let hosts = each(&self.scratch.eligible).filter_map(|index| self.fleet.get(index));
        of_fleet(
            hosts.map(|host| score::gather(&context, host, 0, 0)),
            u64::from(ruled_out.full),
            &self.config.admission,
        )
    }
}

const fn cost_of(prompt: u64, output: u64) -> u64 {
    prompt.saturating_add(output.saturating_mul(OUTPUT_COST))
}
