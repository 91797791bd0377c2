//! Reads a document by the declaration.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::declare::{Visitor, declare};
use super::{
    Config, ConfigErrors, ConfiguredHost, Exchange, Limits, Policy, admission, host, reuse,
};
use crate::fixed;
use crate::hash;
use crate::host::Address;
use crate::json::{Map, Value};

pub(super) fn parse(json: &[u8]) -> Result<Config, ConfigErrors> {
    let trimmed = json.trim_ascii();
    let root = if trimmed.is_empty() {
        Map::default()
    } else {
        Value::parse(trimmed).map_err(|at| ConfigErrors([not_an_object(trimmed, at)].into()))?
    };
    let mut config = Config::default();
    let mut errors = Vec::new();
    let mut reader = Reader {
        path: String::new(),
        object: &root,
        known: Vec::new(),
        errors: &mut errors,
    };
    declare(&mut config, &mut reader);
    reader.refuse_unknown();
    check_whole(&config, &mut errors);
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    config.fingerprint = hash::key(trimmed);
    Ok(config)
}

/// The message for a document that stops being JSON at byte `at`.
fn not_an_object(document: &[u8], at: usize) -> String {
    let before = document.get(..at).unwrap_or_default();
    let lines = before.split(|byte| *byte == b'\n');
    let column = lines.clone().next_back().unwrap_or_default().len();
    format!(
        "configuration: not JSON at line {} column {}; give a JSON object",
        lines.count(),
        column.saturating_add(1)
    )
}

/// What no single field can tell.
fn check_whole(config: &Config, errors: &mut Vec<String>) {
    if config.hosts.len() > config.limits.hosts {
        errors.push(format!(
            "hosts: {} hosts listed; limits.hosts accepts {}",
            config.hosts.len(),
            config.limits.hosts
        ));
    }
    for (i, host) in config.hosts.iter().enumerate() {
        if config
            .hosts
            .iter()
            .take(i)
            .any(|earlier| earlier.address == host.address)
        {
            errors.push(format!(
                "hosts[{i}]: \"{}\" is listed twice; list each host once",
                host.address
            ));
        }
    }
    let peers = config.exchange.peers.len();
    if peers > Exchange::MOST_PEERS {
        errors.push(format!(
            "exchange.peers: {peers} proxies listed; give at most {}",
            Exchange::MOST_PEERS
        ));
    }
    let index = config.limits.index_bytes();
    if index > Limits::MOST_INDEX_BYTES {
        errors.push(format!(
            "limits.prefix_blocks: {} blocks for {} hosts take {} MiB; give sizes that take {} MiB at most",
            config.limits.prefix_blocks,
            config.limits.hosts,
            index >> 20,
            Limits::MOST_INDEX_BYTES >> 20
        ));
    }
    admission::check(config, errors);
    reuse::check(&config.reuse, errors);
    if config.stale_after < config.poll.every {
        errors.push(format!(
            "stale_after_ms: {} is not accepted; give at least poll.every_ms ({})",
            config.stale_after.get() / 1000,
            config.poll.every.get() / 1000
        ));
    }
    let health = &config.health;
    if health.max_open < health.open {
        errors.push(format!(
            "health.max_open_ms: {} is not accepted; give at least health.open_ms ({})",
            health.max_open.get() / 1000,
            health.open.get() / 1000
        ));
    }
    if config.buffer_limit_bytes < config.decide_after_bytes {
        errors.push(format!(
            "buffer_limit_bytes: {} is not accepted; give at least decide_after_bytes ({})",
            config.buffer_limit_bytes, config.decide_after_bytes
        ));
    }
}

/// A value as a message shows it: whole when short.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return text.into();
    }
    let mut short: String = text.chars().take(SHOWN).collect();
    short.push_str("...");
    short
}

struct Reader<'a> {
    path: String,
    object: &'a Map,
    known: Vec<String>,
    errors: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.into()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn take(&mut self, name: &str) -> Option<&'a Value> {
        self.known.push(name.into());
        self.object.get(name)
    }

    fn refuse(&mut self, name: &str, value: &Value, accepted: &str) {
        let path = self.path_of(name);
        self.errors.push(format!(
            "{path}: {} is not accepted; give {accepted}",
            shorten(&value.to_string())
        ));
    }

    /// Refuses a value without showing it.
    fn wants(&mut self, name: &str, accepted: &str) {
        let path = self.path_of(name);
        self.errors
            .push(format!("{path}: not accepted; give {accepted}"));
    }

    fn refuse_unknown(&mut self) {
        for (name, _) in self.object.iter() {
            if !self.known.contains(name) {
                let path = self.path_of(name);
                self.errors.push(format!(
                    "{path}: unknown field; accepted here: {}",
                    self.known.join(", ")
                ));
            }
        }
    }
}

impl Visitor for Reader<'_> {
    fn text(&mut self, name: &str, field: &mut String, _doc: &str) {
        match self.take(name) {
            None => {}
            Some(Value::String(text))
                if text.len() <= 256 && (!text.is_empty() || field.is_empty()) =>
            {
                *field = text.clone()
            }
            Some(other) => self.refuse(name, other, "a string of 1 to 256 bytes"),
        }
    }

    fn integer(&mut self, name: &str, field: &mut u64, range: RangeInclusive<u64>, _doc: &str) {
        let Some(value) = self.take(name) else { return };
        match value.as_u64() {
            Some(n) if range.contains(&n) => *field = n,
            _ => self.refuse(
                name,
                value,
                &format!("an integer from {} to {}", range.start(), range.end()),
            ),
        }
    }

    fn decimal(&mut self, name: &str, field: &mut u64, range: RangeInclusive<u64>, _doc: &str) {
        let Some(value) = self.take(name) else { return };
        let in_range = |q16: &u64| {
            (range.start().saturating_mul(fixed::ONE)..=range.end().saturating_mul(fixed::ONE))
                .contains(q16)
        };
        match value.as_q16().filter(in_range) {
            Some(q16) => *field = q16,
            None => self.refuse(
                name,
                value,
                &format!("a number from {} to {}", range.start(), range.end()),
            ),
        }
    }

    fn flag(&mut self, name: &str, field: &mut bool, _doc: &str) {
        match self.take(name) {
            None => {}
            Some(Value::Bool(value)) => *field = *value,
            Some(other) => self.refuse(name, other, "true or false"),
        }
    }

    fn policy(&mut self, name: &str, field: &mut Policy, _doc: &str) {
        let Some(value) = self.take(name) else { return };
        match value.as_str().and_then(Policy::from_name) {
            Some(policy) => *field = policy,
            None => {
                let names: Vec<&str> = Policy::NAMES.iter().map(|(name, _)| *name).collect();
                self.refuse(name, value, &format!("one of {}", names.join(", ")));
            }
        }
    }

    fn hosts(&mut self, name: &str, field: &mut Vec<ConfiguredHost>, _doc: &str) {
        match self.take(name) {
            None => {}
            Some(Value::Array(values)) => {
                let path = self.path_of(name);
                *field = values
                    .iter()
                    .enumerate()
                    .filter_map(|(i, value)| {
                        host::read(value, &format!("{path}[{i}]"), self.errors)
                    })
                    .collect();
            }
            Some(other) => self.refuse(
                name,
                other,
                "a list of hosts, each \"ip:port\" or an object",
            ),
        }
    }

    fn addresses(&mut self, name: &str, field: &mut Vec<Address>, _doc: &str) {
        match self.take(name) {
            None => {}
            Some(Value::Array(values)) if values.iter().all(Value::is_string) => {
                let path = self.path_of(name);
                *field = values
                    .iter()
                    .filter_map(Value::as_str)
                    .filter_map(|text| host::address(text, &path, self.errors))
                    .collect();
            }
            Some(other) => self.refuse(name, other, "a list of \"ip:port\""),
        }
    }

    fn texts(&mut self, name: &str, field: &mut Vec<String>, _doc: &str) {
        let Some(value) = self.take(name) else { return };
        match value {
            Value::Array(values) if values.iter().all(Value::is_string) => {
                let texts = values.iter().filter_map(Value::as_str);
                *field = texts.map(String::from).collect();
            }
            // Such a list may hold keys, which no log must show.
            _ => self.wants(name, "a list of strings"),
        }
    }

    fn objects(&mut self, name: &str, _doc: &str, fields: &mut dyn FnMut(usize, &mut dyn Visitor)) {
        let Some(value) = self.take(name) else { return };
        let Value::Array(values) = value else {
            return self.wants(name, "a list of objects");
        };
        for (i, value) in values.iter().enumerate() {
            let path = format!("{}[{i}]", self.path_of(name));
            let Value::Object(object) = value else {
                self.errors
                    .push(format!("{path}: not accepted; give an object"));
                continue;
            };
            let mut inner = Reader {
                path,
                object,
                known: Vec::new(),
                errors: self.errors,
            };
            fields(i, &mut inner);
            inner.refuse_unknown();
        }
    }

    fn section(&mut self, name: &str, _doc: &str, fields: &mut dyn FnMut(&mut dyn Visitor)) {
        let empty = Map::default();
        let object = match self.take(name) {
            None => &empty,
            Some(Value::Object(object)) => object,
            Some(other) => {
                self.refuse(name, other, "an object");
                &empty
            }
        };
        let mut inner = Reader {
            path: self.path_of(name),
            object,
            known: Vec::new(),
            errors: self.errors,
        };
        fields(&mut inner);
        inner.refuse_unknown();
    }
}
