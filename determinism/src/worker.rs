use plimsoll_core::config::Config;
use plimsoll_core::request::{Kind, Request};
use plimsoll_core::rng::mix;
use plimsoll_core::router::{Router, Verdict};
use plimsoll_core::time::Instant;

use crate::fleet::{Fleet, Job};
use crate::trace::Row;

/// A worker of a proxy: its router.
pub(crate) struct Worker {
    pub(crate) router: Router,
    seed: u64,
}

impl Worker {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        Self {
            router: Router::new(config, seed),
            seed,
        }
    }

    /// What this worker tells the others.
    pub(crate) fn say(&mut self, now: Instant) -> Vec<u8> {
        let mut said = Vec::new();
        self.router.write_share(now, &mut said);
        said
    }

    /// Decides a request into `record`, and sends it to where it was decided.
    pub(crate) fn request(
        &mut self,
        row: &Row,
        at: usize,
        fleet: &mut Fleet,
        record: &mut Vec<u8>,
    ) {
        let request = Request {
            kind: Kind::Chat,
            tenant: row.number % 5,
            prompt_bytes: row.prompt_bytes,
            blocks: &row.blocks,
            blocks_complete: row.whole,
            max_tokens: row.number.is_multiple_of(4).then_some(2000),
            stream: true,
            seed: mix(self.seed ^ row.number),
            ..Request::default()
        };
        let verdict = self.router.on_request_recorded(row.at, &request, record);
        let Verdict::Forward(decision) = verdict else {
            return;
        };
        let first = decision.ranked.first();
        let Some(address) = first.and_then(|first| self.router.address(first)) else {
            return;
        };
        let job = Job {
            ticket: decision.ticket,
            worker: at,
            prompt_tokens: u32::try_from(row.prompt_bytes / 4).unwrap_or(u32::MAX),
            output_tokens: row.output_tokens,
            number: row.number,
        };
        let blocks: Vec<u64> = row.blocks.iter().map(|block| block.hash).collect();
        fleet.send(row.at, address, job, &blocks);
    }
}
