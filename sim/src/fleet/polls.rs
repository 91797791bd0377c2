//! What routers have heard of the engines: answers to polls, some of them lost, some late.

use std::collections::VecDeque;

use super::event::Faults;
use crate::policy::Polled;
use crate::random::Random;

/// The answers to every proxy's polls.
pub(super) struct Polls {
    /// The last that each proxy has heard, by host.
    known: Vec<Vec<Polled>>,
    /// Answers on their way to it, oldest first.
    late: Vec<VecDeque<Vec<Polled>>>,
    loss: f64,
    random: Random,
}

impl Polls {
    /// Every one of `proxies` knows `answers` from the start.
    pub(super) fn new(proxies: usize, answers: &[Polled], faults: &Faults, seed: u64) -> Self {
        Self {
            known: vec![answers.to_vec(); proxies],
            late: vec![VecDeque::new(); proxies],
            loss: faults.poll_loss,
            random: Random::new(seed),
        }
    }

    /// The engines answer a poll of `proxy`.
    pub(super) fn answered(&mut self, proxy: usize, mut answers: Vec<Polled>) {
        let before = self.late[proxy].back().unwrap_or(&self.known[proxy]);
        for (answer, before) in answers.iter_mut().zip(before) {
            if self.loss > 0.0 && self.random.unit() < self.loss {
                // Who is listed is no poll's news: that comes from discovery.
                *answer = Polled {
                    listed: answer.listed,
                    ..*before
                };
            }
        }
        self.late[proxy].push_back(answers);
    }

    /// The oldest answers under way reach `proxy`.
    pub(super) fn arrived(&mut self, proxy: usize) {
        if let Some(answers) = self.late[proxy].pop_front() {
            self.known[proxy] = answers;
        }
    }

    /// What `proxy` knows.
    pub(super) fn known(&self, proxy: usize) -> &[Polled] {
        &self.known[proxy]
    }
}
