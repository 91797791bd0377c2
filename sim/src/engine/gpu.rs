//! GPU kinds and the step-time formula fitted to measurements.

use core::fmt;
use core::str::FromStr;

/// Batch tokens of one step (vLLM v1 with chunked prefill).
pub const STEP_TOKENS: u32 = 8192;
/// Sequences that may run at once.
pub const MAX_RUNNING: usize = 256;

/// A GPU that serves the 8B-parameter model of the calibration.
///
/// H200 is measured (`data/calibration`); the others follow from their data sheets: memory bandwidth and compute as a
/// factor of H200's, and the KV tokens that fit beside the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gpu {
    /// NVIDIA H200: the measured one.
    H200,
    /// NVIDIA H100.
    H100,
    /// NVIDIA A100, 80 GB.
    A100,
    /// NVIDIA A10G.
    A10g,
    /// NVIDIA L4.
    L4,
}

impl Gpu {
    /// Every kind, fastest first.
    pub const ALL: [Self; 5] = [Self::H200, Self::H100, Self::A100, Self::A10g, Self::L4];

    /// Name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H200 => "h200",
            Self::H100 => "h100",
            Self::A100 => "a100",
            Self::A10g => "a10g",
            Self::L4 => "l4",
        }
    }

    /// KV-cache capacity in tokens.
    #[must_use]
    pub const fn kv_tokens(self) -> u32 {
        match self {
            Self::H200 => 850_000,
            Self::H100 | Self::A100 => 400_000,
            Self::A10g | Self::L4 => 40_000,
        }
    }

    /// Memory bandwidth and compute as factors of H200's.
    const fn factors(self) -> (f64, f64) {
        match self {
            Self::H200 => (1.0, 1.0),
            Self::H100 => (0.70, 1.0),
            Self::A100 => (0.42, 0.32),
            Self::A10g => (0.125, 0.07),
            Self::L4 => (0.0625, 0.122),
        }
    }

    /// Speed relative to the others as an operator would configure it (an L4 is 10): by the time of a step with 2,048
    /// prompt tokens beside 32 sequences of 2,048.
    #[must_use]
    pub fn weight(self) -> u32 {
        let mut load = StepLoad::default();
        load.add_chunk(2048, 0);
        (0..32).for_each(|_| load.add_decode(2048));
        let ms = |gpu: Self| gpu.step_model().step_ms(&load);
        (10.0 * ms(Self::L4) / ms(self)).round() as u32
    }

    /// Step-time coefficients of this kind.
    #[must_use]
    pub const fn step_model(self) -> StepModel {
        let (bandwidth, compute) = self.factors();
        StepModel {
            weights_ms: 6.75 / bandwidth,
            prefill_ms: 0.0273 / compute,
            attention_ms: 7.6e-7 / compute,
            sequence_ms: 0.0142 / bandwidth,
            context_ms: 2.88e-5 / bandwidth,
            mixed_ms: 3.0 / bandwidth,
        }
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Gpu {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|gpu| gpu.name() == text)
            .ok_or_else(|| {
                format!("unknown GPU kind `{text}`; accepted: h200, h100, a100, a10g, l4")
            })
    }
}

/// What one step works on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepLoad {
    /// Prompt tokens computed in this step.
    pub prefill_tokens: u32,
    /// Sum over chunks of `chunk * (context before + chunk / 2)`: the pairs that prefill attention visits.
    pub prefill_pairs: f64,
    /// Sequences that decode one token each.
    pub decoding: u32,
    /// Sum of the decoding sequences' contexts in tokens.
    pub decode_context: u64,
}

impl StepLoad {
    /// Adds a prefill chunk of `chunk` tokens on top of `before` tokens of context.
    pub fn add_chunk(&mut self, chunk: u32, before: u32) {
        self.prefill_tokens += chunk;
        self.prefill_pairs += f64::from(chunk) * (f64::from(before) + f64::from(chunk) / 2.0);
    }

    /// Adds a sequence that decodes one token on `context` tokens.
    pub fn add_decode(&mut self, context: u32) {
        self.decoding += 1;
        self.decode_context += u64::from(context);
    }
}

/// Coefficients of the step time, in milliseconds.
///
/// `t = sqrt(weights² + (prefill n)²) + attention pairs + sequence B + context ΣC + mixed [n > 0 and B > 0]`, fitted to
/// 109 measured steps of one H200: mean error 2.0 %, worst 21 % on one noisy point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepModel {
    weights_ms: f64,
    prefill_ms: f64,
    attention_ms: f64,
    sequence_ms: f64,
    context_ms: f64,
    mixed_ms: f64,
}

impl StepModel {
    /// Duration of a step in milliseconds.
    #[must_use]
    pub fn step_ms(&self, load: &StepLoad) -> f64 {
        let linear = self.prefill_ms * f64::from(load.prefill_tokens);
        let mut ms = (self.weights_ms * self.weights_ms + linear * linear).sqrt();
        ms += self.attention_ms * load.prefill_pairs;
        ms += self.sequence_ms * f64::from(load.decoding);
        // Contexts sum to at most the KV capacity times 256, far below 2^53.
        ms += self.context_ms * load.decode_context as f64;
        if load.prefill_tokens > 0 && load.decoding > 0 {
            ms += self.mixed_ms;
        }
        ms
    }

    /// Duration of a step in whole microseconds, at least one.
    #[must_use]
    pub fn step_micros(&self, load: &StepLoad) -> u64 {
        ((self.step_ms(load) * 1000.0) as u64).max(1)
    }

    /// Time in milliseconds that `tokens` of uncached prompt take on an otherwise idle engine, in steps of
    /// [`STEP_TOKENS`].
    #[must_use]
    pub fn prefill_alone_ms(&self, tokens: u32) -> f64 {
        let mut ms = 0.0;
        let mut done = 0;
        while done < tokens {
            let chunk = (tokens - done).min(STEP_TOKENS);
            let mut load = StepLoad::default();
            load.add_chunk(chunk, done);
            ms += self.step_ms(&load);
            done += chunk;
        }
        ms
    }

    /// Fewest prompt tokens whose prefill alone takes at least `ms`: the inverse of [`Self::prefill_alone_ms`].
    #[must_use]
    pub fn tokens_for_ms(&self, ms: f64) -> u32 {
        let (mut low, mut high) = (1, 1 << 20);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.prefill_alone_ms(middle) < ms {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// A fleet as written on the command line: `8xh200,4xl4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet(pub Vec<Gpu>);

impl FromStr for Fleet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut hosts = Vec::new();
        for part in text.split(',') {
            let (count, kind) = part
                .split_once('x')
                .ok_or_else(|| format!("fleet part `{part}`: write COUNTxKIND, such as 8xh200"))?;
            let count: usize = count
                .parse()
                .ok()
                .filter(|count| (1..=4096).contains(count))
                .ok_or_else(|| {
                    format!("fleet part `{part}`: the count is a number from 1 to 4096")
                })?;
            hosts.extend(core::iter::repeat_n(kind.parse::<Gpu>()?, count));
        }
        Ok(Self(hosts))
    }
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<(Gpu, usize)> = Vec::new();
        for &gpu in &self.0 {
            match parts.last_mut() {
                Some((kind, count)) if *kind == gpu => *count += 1,
                _ => parts.push((gpu, 1)),
            }
        }
        for (position, (gpu, count)) in parts.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{count}x{gpu}")?;
        }
        Ok(())
    }
}
