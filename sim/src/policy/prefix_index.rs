//! Which prefixes a router sent where, for rivals whose index is not the size of the engine's cache.
//!
//! A chain hash names a whole prefix, so one map a host is the prefix tree: the walk down the tree is the walk along
//! the prompt's blocks.

use crate::engine::{HashKeyed, Prompt};

/// The index of one router.
pub(super) struct PrefixIndex {
    /// Per host, the last use of each prefix, microseconds.
    hosts: Vec<HashKeyed<u64>>,
    /// Blocks a host; the least recently used go first.
    limit: usize,
    /// Age at which an entry counts no longer, microseconds.
    ttl: u64,
}

impl PrefixIndex {
    pub(super) fn new(hosts: usize, limit: usize, ttl: u64) -> Self {
        Self {
            hosts: vec![HashKeyed::default(); hosts],
            limit,
            ttl,
        }
    }

    /// Leading blocks of `prompt` that were sent to `host`.
    pub(super) fn matched(&self, host: usize, now: u64, prompt: &Prompt) -> usize {
        let entries = &self.hosts[host];
        let blocks = prompt.blocks.iter();
        blocks
            .take_while(|hash| {
                entries
                    .get(hash)
                    .is_some_and(|&used| now.saturating_sub(used) <= self.ttl)
            })
            .count()
    }

    /// The longest match among `hosts`, in blocks, and those that have it.
    pub(super) fn deepest(
        &self,
        hosts: impl Iterator<Item = usize>,
        now: u64,
        prompt: &Prompt,
    ) -> (usize, Vec<usize>) {
        let matched: Vec<(usize, usize)> = hosts
            .map(|host| (self.matched(host, now, prompt), host))
            .collect();
        let longest = matched.iter().map(|&(blocks, _)| blocks).max().unwrap_or(0);
        let best = matched.iter().filter(|&&(blocks, _)| blocks == longest);
        (longest, best.map(|&(_, host)| host).collect())
    }

    /// When the first `blocks` blocks of `prompt` were last sent to `host`.
    pub(super) fn last_use(&self, host: usize, blocks: usize, prompt: &Prompt) -> Option<u64> {
        let hash = prompt.blocks.get(blocks.checked_sub(1)?)?;
        self.hosts[host].get(hash).copied()
    }

    /// Blocks recorded for `host`.
    pub(super) fn size(&self, host: usize) -> usize {
        self.hosts[host].len()
    }

    /// Records that `prompt` was sent to `host`.
    pub(super) fn insert(&mut self, host: usize, now: u64, prompt: &Prompt) {
        let entries = &mut self.hosts[host];
        entries.extend(prompt.blocks.iter().map(|&hash| (hash, now)));
        if entries.len() > self.limit {
            // A tenth at a time: finding the oldest takes a pass over all.
            let mut oldest: Vec<(u64, u64)> =
                entries.iter().map(|(&hash, &used)| (used, hash)).collect();
            oldest.sort_unstable();
            let surplus = entries.len() - self.limit * 9 / 10;
            for (_, hash) in &oldest[..surplus] {
                entries.remove(hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::script::prompt;

    #[test]
    fn prefixes_are_found_until_they_are_too_old_or_too_many() {
        let mut index = PrefixIndex::new(2, 10, 1000);
        index.insert(0, 0, &prompt(&[1, 2, 3]));
        index.insert(1, 500, &prompt(&[1, 2]));
        assert_eq!(index.matched(0, 500, &prompt(&[1, 2, 4])), 2);
        assert_eq!(
            index.deepest(0..2, 500, &prompt(&[1, 2, 3, 4])),
            (3, vec![0])
        );
        assert_eq!(index.deepest(0..2, 500, &prompt(&[1])), (1, vec![0, 1]));
        assert_eq!(index.last_use(1, 2, &prompt(&[1, 2])), Some(500));
        assert_eq!(index.deepest(0..2, 1001, &prompt(&[1, 2, 3])), (2, vec![1]));
        index.insert(1, 900, &prompt(&[11, 12, 13, 14, 15, 16, 17, 18, 19]));
        assert_eq!(index.size(1), 9);
        assert_eq!(index.matched(1, 900, &prompt(&[1, 2])), 0);
    }
}
