//! The policies by name and number.

/// How the host is chosen. The numbers are those of decision records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// Least predicted time, prefix cache and harm to others included. The reason this product exists.
    Plimsoll = 0,
    /// Each host in turn.
    RoundRobin = 1,
    /// Each host in turn, in proportion to its weight, smoothly interleaved.
    WeightedRoundRobin = 2,
    /// Any host, evenly.
    Random = 3,
    /// The host with the fewest requests of ours in flight.
    LeastRequest = 4,
    /// The better of two hosts drawn at random.
    PowerOfTwo = 5,
}

impl Policy {
    /// Every policy, by the name used in configuration.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("plimsoll", Self::Plimsoll),
        ("round_robin", Self::RoundRobin),
        ("weighted_round_robin", Self::WeightedRoundRobin),
        ("random", Self::Random),
        ("least_request", Self::LeastRequest),
        ("power_of_two", Self::PowerOfTwo),
    ];

    /// The policy called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, policy)| *policy)
    }

    /// The policy of this number; numbers without one count as the score.
    pub fn from_number(number: u8) -> Self {
        Self::NAMES
            .iter()
            .find(|(_, policy)| *policy as u8 == number)
            .map_or(Self::Plimsoll, |(_, policy)| *policy)
    }

    /// The name used in configuration.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, policy)| *policy == self)
            .map_or("", |(name, _)| *name)
    }
}
