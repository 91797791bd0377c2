//! One decision, as the documents say it is made.

use plimsoll_core::config::Policy;
use plimsoll_core::eligible::RuledOut;
use plimsoll_core::host::{Address, Polled, State};
use plimsoll_core::prefix::block_key;
use plimsoll_core::request::Request;
use plimsoll_core::rng::mix;
use plimsoll_core::router::Step;
use plimsoll_core::score::Terms;
use plimsoll_core::share::WORKERS;
use plimsoll_core::time::{Instant, Micros};

use super::arithmetic::{ONE, neg_log2, over, ratio, times, towards};
use super::learn::Costs;
use super::{Flight, Host, Reference, seconds};

/// What a verdict has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Pass,
    Reject(RuledOut),
    Full(RuledOut),
    Forward(Plan),
}

/// What a decision has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) ranked: Vec<Address>,
    pub(crate) terms: Vec<Terms>,
    pub(crate) step: Step,
    pub(crate) eligible: usize,
    pub(crate) ruled_out: RuledOut,
    pub(crate) probe: bool,
    pub(crate) prompt_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) snapshot_age: Option<Micros>,
}

/// What is the same for every host.
pub(super) struct Question<'a> {
    now: Instant,
    pub(super) request: &'a Request<'a>,
    class: (u64, u64),
    step: Step,
    prompt_tokens: u64,
    output_tokens: u64,
    foreign: u64,
    home: Option<Address>,
    credit: u64,
}

impl Reference {
    /// Decides, and books the request under `id`.
    pub(crate) fn on_request(&mut self, now: Instant, id: u64, request: &Request<'_>) -> Answer {
        let listed = self.hosts.values().filter(|h| h.state != State::Gone);
        if listed.count() == 0 {
            return Answer::Pass;
        }
        let (mut eligible, mut ruled_out) = (Vec::new(), RuledOut::default());
        for trust in [2, 1, 0] {
            if eligible.is_empty() {
                (eligible, ruled_out) = self.eligible(now, request, trust);
            }
        }
        if eligible.is_empty() && ruled_out.full > 0 {
            return Answer::Full(ruled_out);
        }
        if eligible.is_empty() {
            return if ruled_out.wrong_model > 0 {
                Answer::Reject(ruled_out)
            } else {
                Answer::Pass
            };
        }
        let class = Costs::class(request);
        let mut question = Question {
            now,
            request,
            class,
            step: self.step(now),
            prompt_tokens: self.costs.tokens(class, request.prompt_bytes),
            output_tokens: self.costs.output_tokens(class, request.max_tokens),
            foreign: self.foreign(),
            home: None,
            credit: 0,
        };
        let scored = self.config.policy == Policy::Plimsoll && question.step != Step::Hash;
        let (ranked, terms) = if self.config.policy != Policy::Plimsoll {
            let known = self.order.iter().filter(|host| eligible.contains(host));
            let known: Vec<Address> = known.copied().collect();
            let ranked = self.by_classic(&question, &known);
            let terms = vec![Terms::default(); ranked.len()];
            (ranked, terms)
        } else if question.step == Step::Hash {
            let ranked = self.by_hash(&question, &eligible);
            let terms = vec![Terms::default(); ranked.len()];
            (ranked, terms)
        } else {
            // Other proxies' slots come after those of workers.
            let told = self.peers.keys().any(|slot| *slot >= WORKERS);
            question.credit = self
                .homes
                .credit(question.prompt_tokens, question.foreign, told);
            if question.credit > 0 {
                question.home = self.home(&question, &eligible);
            }
            self.by_score(&question, &eligible)
        };
        let first = ranked[0];
        let (known, credited) = if !scored {
            (0, 0)
        } else {
            let expected = self.expected(&question, first);
            self.mean_uncached = match self.mean_uncached {
                0 => terms[0].uncached_tokens,
                mean => towards(mean, terms[0].uncached_tokens, 5),
            };
            if let Some(home) = question.home {
                self.homes.on_sent(question.prompt_tokens, home == first);
            }
            expected
        };
        let (uncached, queued) = match terms[0].uncached_tokens {
            0 => {
                let peers = &self.hosts[&first].peers;
                let done = self.hosts[&first].done;
                let queued = self.own(first).queued_tokens - done + peers.queued_tokens;
                (question.prompt_tokens.max(16), queued)
            }
            tokens => (tokens, terms[0].queued_tokens),
        };
        let flight = Flight {
            host: Some(first),
            stream: request.stream,
            prefilling: true,
            sent: now,
            last_token: now,
            probe: self.hosts[&first].health.is_open(),
            stalled: false,
            tokens: 0,
            prompt_bytes: request.prompt_bytes,
            prompt_tokens: question.prompt_tokens,
            known,
            credited,
            uncached,
            queued,
            lesson: None,
            teaches: true,
            usage: None,
            kv_tokens: question.prompt_tokens + question.output_tokens / 2,
            class,
        };
        self.flights.insert(id, flight);
        if self.config.policy == Policy::Plimsoll {
            self.remember(&question, first, uncached);
        }
        Answer::Forward(Plan {
            ranked,
            terms,
            step: question.step,
            eligible: eligible.len(),
            ruled_out,
            probe: self.hosts[&first].health.is_open(),
            prompt_tokens: question.prompt_tokens,
            cached_tokens: known,
            output_tokens: question.output_tokens,
            snapshot_age: self.snapshot.map(|snapshot| now.since(snapshot.stamp)),
        })
    }

    /// Who may have it, when all verdicts on health are believed (2), all but slow start (1), or none (0).
    fn eligible(
        &self,
        now: Instant,
        request: &Request<'_>,
        trust: u32,
    ) -> (Vec<Address>, RuledOut) {
        let model = request.model;
        let most = self.config.limits.host_inflight;
        let booked = |host: &Host| u64::from(host.peers.requests);
        let total = self.flights.values().filter(|f| f.host.is_some()).count() as u64
            + self.hosts.values().map(booked).sum::<u64>();
        let limit = u64::from(self.config.limits.pool_inflight);
        let pool_full = limit > 0 && total >= limit;
        let serves = |host: &Host| host.models.contains(&model);
        let constrains = model != 0
            && self
                .hosts
                .values()
                .any(|host| host.state != State::Gone && serves(host));
        let mut out = RuledOut::default();
        let mut eligible = Vec::new();
        for (address, host) in &self.hosts {
            let ours = self.own(*address).requests + host.peers.requests;
            let trusted = self.trusts(now, *address, request.seed, trust == 2);
            let counter = match host.state {
                State::Gone => &mut out.gone,
                State::Draining => &mut out.draining,
                State::Down if trust > 0 => &mut out.down,
                State::Warming if trust == 2 => &mut out.warming,
                _ if host.drained => &mut out.draining,
                _ if constrains && !serves(host) => &mut out.wrong_model,
                _ if pool_full || (most > 0 && ours >= most) => &mut out.full,
                _ if trust > 0 && trusted == Err(true) => &mut out.ejected,
                _ if trust > 0 && trusted == Err(false) => &mut out.warming,
                _ => {
                    eligible.push(*address);
                    continue;
                }
            };
            *counter += 1;
        }
        (eligible, out)
    }

    fn step(&self, now: Instant) -> Step {
        let stale_after = self.config.stale_after;
        let fresh = self
            .snapshot
            .and_then(|snapshot| snapshot.polled.map(|at| at.min(snapshot.stamp)))
            .is_some_and(|at| now.since(at) <= stale_after);
        let mut hosts = self.hosts.values();
        let experienced = hosts.any(|h| h.own_sums.samples > 0 || h.peer_sums.samples > 0);
        if fresh {
            Step::Full
        } else if experienced {
            Step::Local
        } else {
            Step::Hash
        }
    }

    /// Key of the first block that too few requests share to flood its home.
    fn home_key(&self, question: &Question<'_>) -> Option<u64> {
        let listed = self.hosts.values().filter(|h| h.state != State::Gone);
        let listed = listed.count() as u64;
        keys(question.request)
            .into_iter()
            .find(|key| self.blocks.is_rare(*key, listed, seconds(question.now)))
    }

    fn home(&self, question: &Question<'_>, eligible: &[Address]) -> Option<Address> {
        let key = self.home_key(question)?;
        let draw = |address: &&Address| {
            let host = &self.hosts[*address];
            (draw(key, host), host.key)
        };
        eligible.iter().min_by_key(draw).copied()
    }

    /// Rendezvous hashing; hosts above 5/4 of the mean load come after all others.
    fn by_hash(&self, question: &Question<'_>, eligible: &[Address]) -> Vec<Address> {
        let seed = question.request.seed;
        let key = self.home_key(question).unwrap_or_else(|| mix(seed));
        let ours = |address: &Address| {
            u64::from(self.own(*address).requests + self.hosts[address].peers.requests)
        };
        let total = 1 + eligible.iter().map(ours).sum::<u64>();
        let bound = over(total, 5, 4 * eligible.len() as u64) + 1;
        let scores = eligible.iter().map(|address| {
            let full = ours(address) >= bound;
            let draw = draw(key, &self.hosts[address]);
            (*address, draw + if full { u64::MAX / 2 } else { 0 })
        });
        self.rank(scores.collect(), seed, 0)
    }

    fn by_score(
        &self,
        question: &Question<'_>,
        eligible: &[Address],
    ) -> (Vec<Address>, Vec<Terms>) {
        let terms = |address: &Address| {
            let (known, credited) = self.expected(question, *address);
            self.score(question, *address, known + credited)
        };
        let scores = eligible.iter().map(|host| (*host, terms(host).total));
        let band = self.config.tie_band;
        let ranked = self.rank(scores.collect(), question.request.seed, band);
        let terms = ranked.iter().map(terms).collect();
        (ranked, terms)
    }

    /// The best three: ties first, in an order that only the request and the hosts' addresses give, then by score.
    pub(super) fn rank(&self, scores: Vec<(Address, u64)>, seed: u64, band: u64) -> Vec<Address> {
        let best = scores.iter().map(|(_, score)| *score).min().unwrap();
        let mut order: Vec<(u64, u64, Address)> = scores
            .into_iter()
            .map(|(address, score)| {
                let tied = score <= best + times(best, band);
                let order = if tied { 0 } else { score };
                (order, mix(seed ^ self.hosts[&address].key), address)
            })
            .collect();
        order.sort();
        order.into_iter().take(3).map(|(.., host)| host).collect()
    }

    /// Tokens known to be cached there, and those credited to the home.
    fn expected(&self, question: &Question<'_>, address: Address) -> (u64, u64) {
        let request = question.request;
        let tokens = |bytes| {
            let tokens = self.costs.tokens(question.class, bytes);
            tokens.min(question.prompt_tokens)
        };
        let keys = keys(request);
        let held = keys
            .iter()
            .take_while(|key| self.blocks.holds(**key, address))
            .count();
        let mut bytes = match held {
            0 => 0,
            held => u64::from(request.blocks[held - 1].end),
        };
        if held == keys.len()
            && !request.blocks_complete
            && let Some(last) = keys.last()
        {
            // All that was hashed is there: so is what followed it before.
            bytes = bytes.max(self.blocks.extent(*last).min(request.prompt_bytes));
        }
        let known = tokens(bytes);
        let hashed = if request.blocks_complete {
            request.blocks.last().map_or(0, |last| u64::from(last.end))
        } else {
            request.prompt_bytes
        };
        let unknown = tokens(hashed).saturating_sub(known);
        let credited = if question.home == Some(address) {
            times(unknown, question.credit)
        } else {
            0
        };
        (known, credited)
    }

    /// `a * [q + (q + done) * crowding * N + w * (prefill + stall * N)] + kv_pressure * e2e * max(0, kv - kv_limit)`
    fn score(&self, question: &Question<'_>, address: Address, cached: u64) -> Terms {
        let host = &self.hosts[&address];
        let own = self.own(address);
        let weights = &self.config.weights;
        let fresh = |polled: &Polled| {
            question.step == Step::Full && question.now.since(polled.at) <= self.config.stale_after
        };
        let polled = host.polled.filter(fresh);

        let w = question.prompt_tokens.saturating_sub(cached).max(16);
        let mut q = own.queued_tokens - host.done + host.peers.queued_tokens;
        let mut n = u64::from(own.requests + host.peers.requests);
        let mut kv = 0;
        if let Some(polled) = polled {
            n += self.others(address);
            let theirs = u64::from(polled.waiting.saturating_sub(host.at_poll.prefilling));
            q += theirs * self.mean_uncached;
            let (gap, seen) = (host.gap.0.get(), host.gap.1);
            let recent = question.now.since(seen).get() < 4 * gap;
            if question.foreign > 0 && gap > 60_000 && recent {
                q = q.max(times(over(4 * gap, ONE, host.per_token), question.foreign));
            }
            kv = u64::from(polled.kv_used_q16);
            if polled.kv_capacity_tokens > 0 {
                let ours = own.kv_tokens + host.peers.kv_tokens;
                let since = ours.saturating_sub(host.at_poll.kv_tokens);
                let this = question.prompt_tokens + question.output_tokens / 2;
                kv += ratio(since.max(q) + this, polled.kv_capacity_tokens);
            }
        }
        let share = host.health.share(question.now, &self.config.health);
        let requests = u32::try_from(n).unwrap();
        let restraint = over(ONE, ONE, share) - ONE;
        let queued = q;
        (n, q) = (n + times(n, restraint), q + times(q, restraint));
        let a = host.per_token;
        let wait = times(q, a) + times(times(q + host.done, a), weights.crowding * n);
        let prefill = times(times(w, a), weights.prefill);
        let stall = times(times(w, a), weights.stall * n);
        let over_limit = kv.saturating_sub(weights.kv_limit);
        let kv = times(times(host.e2e, over_limit), weights.kv_pressure);
        let total = wait + prefill + stall + kv;
        let fault = times(total, host.health.faults(question.now, &self.config.health));
        Terms {
            total: total + fault,
            wait,
            prefill,
            stall,
            kv,
            fault,
            uncached_tokens: w,
            queued_tokens: queued,
            requests,
        }
    }

    /// The host will hold the prompt; half a KV cache of new tokens turns its blocks over.
    fn remember(&mut self, question: &Question<'_>, first: Address, uncached: u64) {
        let (request, seconds) = (question.request, seconds(question.now));
        self.blocks.count_request(seconds);
        for key in keys(request) {
            self.blocks
                .insert(key, first, request.prompt_bytes, seconds);
        }
        let host = self.hosts.get_mut(&first).unwrap();
        // An engine that counts what it computes is believed instead.
        if host.polled.is_none_or(|polled| polled.computed_tokens == 0) {
            host.turnover += uncached + question.output_tokens;
        }
        if turns(host) > 0 {
            self.blocks.turn(first);
        }
    }
}

/// Halves of the KV cache that new tokens have filled, at most two.
pub(super) fn turns(host: &mut Host) -> u64 {
    let reported = host.polled.map_or(0, |polled| polled.kv_capacity_tokens);
    let capacity = if reported == 0 { 40_000 } else { reported };
    let turns = (host.turnover / (capacity / 2).max(1)).min(2);
    if turns > 0 {
        host.turnover = 0;
    }
    turns
}

fn keys(request: &Request<'_>) -> Vec<u64> {
    request
        .blocks
        .iter()
        .map(|block| block_key(block.hash, request.model, request.salt))
        .collect()
}

/// Exponential draw of weighted rendezvous hashing: the smallest wins.
fn draw(key: u64, host: &Host) -> u64 {
    neg_log2(mix(key ^ host.key)) << (8 - host.octave)
}
