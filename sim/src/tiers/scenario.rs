//! Five tenants of three tiers, one of which asks for ten times what it should.

use crate::engine::Gpu;
use crate::fleet::flood_rate;
use crate::random::Random;
use crate::trace::{Row, Segment};

/// Who asks, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Tenant {
    /// Name in the configuration.
    pub name: &'static str,
    /// Its tier.
    pub tier: &'static str,
    /// Its part of what is asked.
    pub part: f64,
}

/// The tenants. `crawler` asks for ten times as much as the two equal ones beside it.
pub const TENANTS: [Tenant; 5] = [
    Tenant {
        name: "voice",
        tier: "realtime",
        part: 1.5,
    },
    Tenant {
        name: "shop",
        tier: "interactive",
        part: 1.0,
    },
    Tenant {
        name: "search",
        tier: "interactive",
        part: 1.0,
    },
    Tenant {
        name: "crawler",
        tier: "interactive",
        part: 10.0,
    },
    Tenant {
        name: "nightly",
        tier: "batch",
        part: 1.5,
    },
];

/// Tiers and admission of the scenario, as fields of a configuration. Workers learn of each other with every tick: the more often, the less
/// do they get in each other's way.
pub const POLICY: &str = r#""tick_ms":10,"tiers":[
    {"name":"realtime","max_wait_ms":2000},
    {"name":"interactive","ceiling":0.6,"max_wait_ms":3000},
    {"name":"batch","ceiling":0.5,"guaranteed":0.1,"max_wait_ms":3000}],
    "admission":{"full_wait_ms":60,"starvation_ms":2500,"queue":4096}"#;
/// Share of the tokens let through that it guarantees to `batch`.
pub const GUARANTEED: f64 = 0.1;

/// What is asked of a fleet.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// One engine a GPU.
    pub fleet: Vec<Gpu>,
    /// Tokens a prefix-cache block.
    pub block_tokens: u32,
    /// Requests in order of arrival; their tenant is a place in [`TENANTS`].
    pub rows: Vec<Row>,
    /// Requests a second that the fleet completes when flooded.
    pub capacity: f64,
}

impl Scenario {
    /// Poisson arrivals for `seconds` at `load` times the capacity of `fleet`. Prompts have a median of 1,500 tokens, answers of 150. A tenant's requests are
    /// the same at every load.
    #[must_use]
    pub fn new(fleet: &[Gpu], load: f64, seconds: f64, seed: u64) -> Self {
        let block_tokens = 64;
        let mut random = Random::new(seed);
        let sample: Vec<Row> = (0..400 * fleet.len())
            .map(|_| row(&mut random, 0, 0))
            .collect();
        let capacity = flood_rate(fleet, block_tokens, &sample);
        let parts: f64 = TENANTS.iter().map(|tenant| tenant.part).sum();
        let mut rows = Vec::new();
        for (place, tenant) in TENANTS.iter().enumerate() {
            let mut random = Random::new(random.bits());
            let mean = 1e6 * parts / (capacity * load * tenant.part);
            let mut at = random.exponential(mean);
            while at < seconds * 1e6 {
                rows.push(row(&mut random, at as u64, place as u64));
                at += random.exponential(mean);
            }
        }
        rows.sort_by_key(|row| row.at_micros);
        Self {
            fleet: fleet.to_vec(),
            block_tokens,
            rows,
            capacity,
        }
    }
}

fn row(random: &mut Random, at_micros: u64, tenant: u64) -> Row {
    Row {
        at_micros,
        segments: vec![Segment {
            id: random.bits(),
            tokens: random.log_normal(1500.0, 0.6).clamp(32.0, 16_000.0) as u32,
        }],
        output_tokens: random.log_normal(150.0, 0.6).clamp(1.0, 2000.0) as u32,
        tenant,
        session: 0,
    }
}
