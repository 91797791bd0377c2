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
    let mut reader = Reader::default();
    reader.enter(Some(&root));
    declare(&mut config, &mut reader);
    reader.close();
    let mut errors = reader.errors;
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

/// The document, at the object whose fields are read.
#[derive(Default)]
struct Reader<'a> {
    /// Of that object, as messages name it.
    path: String,
    /// The objects that are open, the innermost last.
    open: Vec<Level<'a>>,
    errors: Vec<String>,
}

struct Level<'a> {
    /// Nothing where the document does not have it.
    object: Option<&'a Map>,
    known: Vec<&'static str>,
    /// Length of the path outside it.
    outside: usize,
}

impl<'a> Reader<'a> {
    fn path_of(&self, name: &str) -> String {
        let mut path = self.path.clone();
        extend(&mut path, name);
        path
    }

    /// Goes into an object whose path is already told.
    fn enter(&mut self, object: Option<&'a Map>) {
        let outside = self.path.len();
        self.open.push(Level {
            object,
            known: Vec::new(),
            outside,
        });
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        let level = self.open.last_mut()?;
        level.known.push(name);
        level.object?.get(name)
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
}

/// A path, one field further.
fn extend(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

impl Visitor for Reader<'_> {
    fn text(&mut self, name: &'static str, field: &mut String, _doc: &str) {
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

    fn integer(
        &mut self,
        name: &'static str,
        field: &mut u64,
        range: RangeInclusive<u64>,
        _doc: &str,
    ) {
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

    fn decimal(
        &mut self,
        name: &'static str,
        field: &mut u64,
        range: RangeInclusive<u64>,
        _doc: &str,
    ) {
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

    fn flag(&mut self, name: &'static str, field: &mut bool, _doc: &str) {
        match self.take(name) {
            None => {}
            Some(Value::Bool(value)) => *field = *value,
            Some(other) => self.refuse(name, other, "true or false"),
        }
    }

    fn policy(&mut self, name: &'static str, field: &mut Policy, _doc: &str) {
        let Some(value) = self.take(name) else { return };
        match value.as_str().and_then(Policy::from_name) {
            Some(policy) => *field = policy,
            None => {
                let names: Vec<&str> = Policy::NAMES.iter().map(|(name, _)| *name).collect();
                self.refuse(name, value, &format!("one of {}", names.join(", ")));
            }
        }
    }

    fn hosts(&mut self, name: &'static str, field: &mut Vec<ConfiguredHost>, _doc: &str) {
        match self.take(name) {
            None => {}
            Some(Value::Array(values)) => {
                let path = self.path_of(name);
                *field = values
                    .iter()
                    .enumerate()
                    .filter_map(|(i, value)| {
                        host::read(value, &format!("{path}[{i}]"), &mut self.errors)
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

    fn addresses(&mut self, name: &'static str, field: &mut Vec<Address>, _doc: &str) {
        match self.take(name) {
            None => {}
            Some(Value::Array(values)) if values.iter().all(Value::is_string) => {
                let path = self.path_of(name);
                *field = values
                    .iter()
                    .filter_map(Value::as_str)
                    .filter_map(|text| host::address(text, &path, &mut self.errors))
                    .collect();
            }
            Some(other) => self.refuse(name, other, "a list of \"ip:port\""),
        }
    }

    fn texts(&mut self, name: &'static str, field: &mut Vec<String>, _doc: &str) {
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

    fn open(&mut self, name: &'static str, _doc: &str) {
        let object = match self.take(name) {
            None => None,
            Some(Value::Object(object)) => Some(object),
            Some(other) => {
                self.refuse(name, other, "an object");
                None
            }
        };
        self.enter(object);
        extend(&mut self.path, name);
    }

    fn list(&mut self, name: &'static str, _doc: &str) -> usize {
        match self.take(name) {
            None => 0,
            Some(Value::Array(values)) => values.len(),
            Some(_) => {
                self.wants(name, "a list of objects");
                0
            }
        }
    }

    fn open_item(&mut self, name: &'static str, i: usize) {
        let list = self.open.last().and_then(|level| level.object?.get(name));
        let item = list.and_then(|list| match list {
            Value::Array(values) => values.get(i),
            _ => None,
        });
        let object = item.and_then(|item| match item {
            Value::Object(object) => Some(object),
            _ => None,
        });
        self.enter(object);
        extend(&mut self.path, &format!("{name}[{i}]"));
        if object.is_none() {
            self.errors
                .push(format!("{}: not accepted; give an object", self.path));
        }
    }

    fn close(&mut self) {
        let Some(level) = self.open.pop() else { return };
        for (name, _) in level.object.iter().flat_map(|object| object.iter()) {
            if !level.known.contains(&name.as_str()) {
                let path = self.path_of(name);
                self.errors.push(format!(
                    "{path}: unknown field; accepted here: {}",
                    level.known.join(", ")
                ));
            }
        }
        self.path.truncate(level.outside);
    }
}
