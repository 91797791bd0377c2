//! Whose requests a proxy served, and what they used, from its access log.
//!
//! A line is the JSON object that `cargo xtask serve --access-log` writes; what it says of tenant, tier and wait is in its field `decision`, what was used
//! in `usage`. Lines that are no such object are counted and left out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::report::Percentiles;

/// What the requests of one tenant in one tier came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Account {
    /// Requests of any outcome.
    pub requests: u64,
    /// Answered with a status below 400.
    pub served: u64,
    /// Of those, answered by the answer to another request, which costs nothing.
    pub reused: u64,
    /// Turned away before any host was asked, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Sent to a host and not served.
    pub failed: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Of those, cached.
    pub cached_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// GPU-seconds, estimated.
    pub gpu_seconds: f64,
    /// Requests whose tokens are estimates.
    pub estimated: u64,
    #[serde(skip)]
    first_byte_ms: Vec<f64>,
    #[serde(skip)]
    waited_ms: Vec<f64>,
}

impl Account {
    /// Times to the first byte of those served, milliseconds.
    #[must_use]
    pub fn first_byte_ms(&self) -> Percentiles {
        Percentiles::of(self.first_byte_ms.clone())
    }

    /// Times in the queue, milliseconds.
    #[must_use]
    pub fn waited_ms(&self) -> Percentiles {
        Percentiles::of(self.waited_ms.clone())
    }

    /// Share of the served whose first byte came within `ms`; 1 when none was served.
    #[must_use]
    pub fn within(&self, ms: f64) -> f64 {
        let all = self.first_byte_ms.len();
        let within = self
            .first_byte_ms
            .iter()
            .filter(|time| **time <= ms)
            .count();
        if all == 0 {
            1.0
        } else {
            within as f64 / all as f64
        }
    }

    fn add(&mut self, line: &Value) {
        self.requests += 1;
        let decision = text(line, "decision");
        if let Some(micros) = number(field(decision, "waited").trim_end_matches("us")) {
            self.waited_ms.push(micros / 1000.0);
        }
        let reason = field(decision, "rejected");
        if !reason.is_empty() {
            *self.refused.entry(reason.to_owned()).or_default() += 1;
            return;
        }
        let status = line["status"].as_u64().unwrap_or_default();
        if (200..400).contains(&status) {
            self.served += 1;
            self.reused += u64::from(!field(decision, "reused").is_empty());
            self.first_byte_ms.extend(line["first_byte_ms"].as_f64());
        } else {
            self.failed += 1;
        }
        let usage = text(line, "usage");
        let of = |name| number(field(usage, name)).unwrap_or_default() as u64;
        self.prompt_tokens += of("prompt");
        self.cached_tokens += of("cached");
        self.output_tokens += of("output");
        self.gpu_seconds += of("gpu_us") as f64 / 1e6;
        self.estimated += u64::from(field(usage, "tokens") == "estimated");
    }
}

/// Accounts by tenant and tier; both empty where a line names none.
#[derive(Debug, Default)]
pub struct Accounts {
    /// The accounts.
    pub of: BTreeMap<(String, String), Account>,
    /// Lines that are no JSON object.
    pub unreadable: u64,
}

impl Accounts {
    /// Reads a log.
    #[must_use]
    pub fn read(log: &str) -> Self {
        let mut accounts = Self::default();
        for line in log.lines().filter(|line| !line.trim().is_empty()) {
            let Some(line) = serde_json::from_str::<Value>(line)
                .ok()
                .filter(Value::is_object)
            else {
                accounts.unreadable += 1;
                continue;
            };
            let decision = text(&line, "decision");
            // The tenant ends the line: its name may have spaces.
            let tenant = decision
                .split_once(" tenant=")
                .map_or("", |(_, tenant)| tenant);
            let key = (tenant.to_owned(), field(decision, "tier").to_owned());
            accounts.of.entry(key).or_default().add(&line);
        }
        accounts
    }
}

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap_or_default()
}

/// The value of `name=` among words.
fn field<'a>(words: &'a str, name: &str) -> &'a str {
    let value = |word: &'a str| word.strip_prefix(name)?.strip_prefix('=');
    words.split(' ').find_map(value).unwrap_or_default()
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"
{"status":200,"first_byte_ms":40,"decision":"policy=plimsoll step=full seed=1 tier=gold waited=2000us tenant=Acme Inc","usage":"prompt=100 cached=60 output=20 gpu_us=500000 tokens=told"}
{"status":200,"first_byte_ms":900,"decision":"policy=plimsoll step=full seed=2 tier=gold waited=0us tenant=Acme Inc","usage":"prompt=10 cached=0 output=5 gpu_us=250000 tokens=estimated"}
{"status":429,"decision":"rejected=overloaded tier=gold waited=0us tenant=Acme Inc","usage":null}
{"status":503,"first_byte_ms":3,"decision":"policy=plimsoll tier=batch waited=1us tenant=zeta","usage":"prompt=0 cached=0 output=0 gpu_us=0 tokens=estimated"}
{"status":200,"first_byte_ms":1,"decision":"reused=hit tier=batch waited=0us tenant=zeta","usage":null}
{"status":401,"decision":null,"usage":null}
cut off
"#;

    #[test]
    fn each_line_is_somebodys() {
        let accounts = Accounts::read(LOG);
        assert_eq!((accounts.of.len(), accounts.unreadable), (3, 1));
        let acme = &accounts.of[&("Acme Inc".to_owned(), "gold".to_owned())];
        assert_eq!((acme.requests, acme.served, acme.failed), (3, 2, 0));
        assert_eq!(acme.refused["overloaded"], 1);
        assert_eq!(
            (acme.prompt_tokens, acme.cached_tokens, acme.output_tokens),
            (110, 60, 25)
        );
        assert_eq!((acme.gpu_seconds, acme.estimated), (0.75, 1));
        assert_eq!(acme.within(100.0), 0.5);
        assert_eq!(acme.waited_ms().p99, 2.0);
        let zeta = &accounts.of[&("zeta".to_owned(), "batch".to_owned())];
        assert_eq!((zeta.served, zeta.failed, zeta.within(1.0)), (1, 1, 1.0));
        assert_eq!((zeta.reused, zeta.prompt_tokens, acme.reused), (1, 0, 0));
    }
}
