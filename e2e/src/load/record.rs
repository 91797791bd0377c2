//! What became of each request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Answered in full.
    Whole,
    /// An answer with another status than 200.
    Status(u16),
    /// No answer: the connection broke, or could not be made.
    NoAnswer,
    /// The head of an answer came, and nothing of its body.
    NoToken,
    /// Tokens came, and the stream was cut.
    Cut,
    /// The client's patience ended before the first byte of the body.
    Waited,
    /// The client's patience ended after it.
    Stalled,
}

impl Fate {
    /// Whether the client got nothing: such a request could have been served elsewhere.
    pub const fn before_first_byte(&self) -> bool {
        matches!(
            self,
            Self::Status(_) | Self::NoAnswer | Self::NoToken | Self::Waited
        )
    }

    fn reason(&self) -> String {
        match self {
            Self::Whole => "ok".to_owned(),
            Self::Status(status) => format!("status {status}"),
            Self::NoAnswer => "no answer".to_owned(),
            Self::NoToken => "cut before the first token".to_owned(),
            Self::Cut => "cut after the first token".to_owned(),
            Self::Waited => "timed out before the first token".to_owned(),
            Self::Stalled => "timed out after the first token".to_owned(),
        }
    }
}

/// One request. Times count from the start of the load.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it was first sent.
    pub at: Duration,
    /// When it was sent last: a client that is told to come back does, as often as it may.
    pub last_at: Duration,
    /// How often it was sent.
    pub tries: u32,
    /// Tokens of its prompt.
    pub prompt_tokens: u64,
    /// Tokens of its answer, when it is whole.
    pub output_tokens: u64,
    /// Which of the targets got it.
    pub target: usize,
    /// The first host that the module named, when it explains itself.
    pub first_choice: Option<SocketAddr>,
    /// Whether it was sent to see if an ejected host is back.
    pub probe: bool,
    /// Longest that it waited in the filter in one try, as the module says.
    pub waited: Duration,
    /// The host that served.
    pub served_by: Option<SocketAddr>,
    /// When the first token came.
    pub first_token: Option<Duration>,
    /// When it ended.
    pub end: Duration,
    /// How.
    pub fate: Fate,
}

/// All requests of a load, each once.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// In the order they were sent.
    pub records: Vec<Record>,
}

impl Tally {
    /// Requests sent.
    pub const fn sent(&self) -> usize {
        self.records.len()
    }

    /// Those answered in full.
    pub fn ok(&self) -> usize {
        self.count(|fate| *fate == Fate::Whole)
    }

    /// Those of which the client got nothing.
    pub fn failed_before_first_byte(&self) -> usize {
        self.count(Fate::before_first_byte)
    }

    fn count(&self, which: impl Fn(&Fate) -> bool) -> usize {
        self.records
            .iter()
            .filter(|record| which(&record.fate))
            .count()
    }

    /// Failures by reason.
    pub fn why(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for record in &self.records {
            if record.fate != Fate::Whole {
                *reasons.entry(record.fate.reason()).or_default() += 1;
            }
        }
        reasons
    }

    /// The requests sent from `from` until `to`.
    #[must_use]
    pub fn between(&self, from: Duration, to: Duration) -> Self {
        let records = self.records.iter();
        Self {
            records: records
                .filter(|record| (from..to).contains(&record.at))
                .cloned()
                .collect(),
        }
    }

    /// The requests sent to one of the targets.
    #[must_use]
    pub fn of_target(&self, target: usize) -> Self {
        let records = self.records.iter();
        Self {
            records: records
                .filter(|record| record.target == target)
                .cloned()
                .collect(),
        }
    }

    /// Both together.
    pub fn extend(&mut self, other: Self) {
        self.records.extend(other.records);
    }

    /// Share of the requests that `host` served, 0 to 1.
    pub fn served_share(&self, host: SocketAddr) -> f64 {
        self.share(|record| record.served_by == Some(host))
    }

    /// Share of the requests of which `host` was the first choice, 0 to 1.
    pub fn chosen_share(&self, host: SocketAddr) -> f64 {
        self.share(|record| record.first_choice == Some(host))
    }

    fn share(&self, which: impl Fn(&Record) -> bool) -> f64 {
        let hits = self.records.iter().filter(|record| which(record)).count();
        hits as f64 / self.records.len().max(1) as f64
    }

    /// Time to the first token at the percentile `p` (0 to 1), of the requests that got one; zero when none did.
    pub fn ttft(&self, p: f64) -> Duration {
        let mut times: Vec<Duration> = self
            .records
            .iter()
            .filter_map(|record| Some(record.first_token?.saturating_sub(record.last_at)))
            .collect();
        times.sort_unstable();
        let rank = ((times.len() as f64 * p).ceil() as usize).saturating_sub(1);
        times.get(rank).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: u64, fate: Fate) -> Record {
        Record {
            at: Duration::from_millis(at),
            last_at: Duration::from_millis(at),
            tries: 1,
            prompt_tokens: 0,
            output_tokens: 0,
            target: 0,
            first_choice: crate::load::ask::first_choice(
                "step=full host0=10.0.0.1:80(a=1) host1=10.0.0.2:80(a=2)",
            ),
            probe: false,
            waited: Duration::ZERO,
            served_by: None,
            first_token: Some(Duration::from_millis(at + 10 * at)),
            end: Duration::ZERO,
            fate,
        }
    }

    #[test]
    fn a_tally_counts_each_once() {
        let fates = [Fate::Whole, Fate::Status(503), Fate::Cut, Fate::Waited];
        let tally = Tally {
            records: (1..)
                .zip(fates)
                .map(|(at, fate)| record(at, fate))
                .collect(),
        };
        assert_eq!((tally.sent(), tally.ok()), (4, 1));
        assert_eq!(tally.failed_before_first_byte(), 2);
        assert_eq!(tally.why().values().sum::<usize>(), 3);
        assert_eq!(tally.ttft(0.5), Duration::from_millis(20));
        assert_eq!(tally.chosen_share("10.0.0.1:80".parse().unwrap()), 1.0);
        let (from, to) = (Duration::from_millis(2), Duration::from_millis(4));
        assert_eq!(tally.between(from, to).sent(), 2);
    }
}
