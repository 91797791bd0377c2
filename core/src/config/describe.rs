//! Writes the schema and the table by the declaration.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::declare::{Visitor, declare};
use super::{Config, ConfiguredHost, Policy};
use crate::fixed;
use crate::host::Address;

/// A Q16 value as the decimal number a person would write.
fn decimal_of(q16: u64) -> f64 {
    let thousandths = q16.saturating_mul(1000).saturating_add(fixed::ONE / 2) / fixed::ONE;
    thousandths as f64 / 1000.0
}

pub(super) fn schema() -> Value {
    let mut writer = Schema::default();
    declare(&mut Config::default(), &mut writer);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Plimsoll plugin configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": writer.properties,
    })
}

#[derive(Default)]
struct Schema {
    /// Of the object that is open.
    properties: Map<String, Value>,
    /// Those of the objects around it, each with the name it has in the next one out; the innermost last.
    around: Vec<(Map<String, Value>, &'static str)>,
}

impl Schema {
    fn add(&mut self, name: &str, property: Value) {
        self.properties.insert(name.into(), property);
    }

    fn enter(&mut self, name: &'static str) {
        let outside = core::mem::take(&mut self.properties);
        self.around.push((outside, name));
    }
}

impl Visitor for Schema {
    fn text(&mut self, name: &'static str, field: &mut String, doc: &str) {
        self.add(name, json!({"type": "string", "minLength": u8::from(!field.is_empty()), "maxLength": 256, "default": field, "description": doc}));
    }

    fn integer(
        &mut self,
        name: &'static str,
        field: &mut u64,
        range: RangeInclusive<u64>,
        doc: &str,
    ) {
        self.add(
            name,
            json!({"type": "integer", "minimum": range.start(), "maximum": range.end(), "default": field, "description": doc}),
        );
    }

    fn decimal(
        &mut self,
        name: &'static str,
        field: &mut u64,
        range: RangeInclusive<u64>,
        doc: &str,
    ) {
        self.add(
            name,
            json!({"type": "number", "minimum": range.start(), "maximum": range.end(), "default": decimal_of(*field), "description": doc}),
        );
    }

    fn flag(&mut self, name: &'static str, field: &mut bool, doc: &str) {
        self.add(
            name,
            json!({"type": "boolean", "default": field, "description": doc}),
        );
    }

    fn policy(&mut self, name: &'static str, field: &mut Policy, doc: &str) {
        let names: Vec<&str> = Policy::NAMES.iter().map(|(name, _)| *name).collect();
        self.add(
            name,
            json!({"enum": names, "default": field.name(), "description": doc}),
        );
    }

    fn hosts(&mut self, name: &'static str, _field: &mut Vec<ConfiguredHost>, doc: &str) {
        let host = json!({"oneOf": [
            {"type": "string", "description": "ip:port"},
            {"type": "object", "additionalProperties": false, "required": ["address"], "properties": {
                "address": {"type": "string", "description": "ip:port"},
                "weight": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1,
                    "description": "Speed relative to the others, until it has been learned"},
                "models": {"type": "array", "items": {"type": "string"}, "default": [],
                    "description": "Models it serves; read from the engine when absent"},
            }},
        ]});
        self.add(
            name,
            json!({"type": "array", "items": host, "default": [], "description": doc}),
        );
    }

    fn addresses(&mut self, name: &'static str, _field: &mut Vec<Address>, doc: &str) {
        self.add(
            name,
            json!({"type": "array", "items": {"type": "string", "description": "ip:port"}, "default": [], "description": doc}),
        );
    }

    fn texts(&mut self, name: &'static str, _field: &mut Vec<String>, doc: &str) {
        self.add(
            name,
            json!({"type": "array", "items": {"type": "string"}, "default": [], "description": doc}),
        );
    }

    fn open(&mut self, name: &'static str, doc: &str) {
        self.add(
            name,
            json!({"type": "object", "additionalProperties": false, "description": doc}),
        );
        self.enter(name);
    }

    fn list(&mut self, name: &'static str, doc: &str) -> usize {
        let item = json!({"type": "object", "additionalProperties": false});
        self.add(
            name,
            json!({"type": "array", "default": [], "description": doc, "items": item}),
        );
        1
    }

    fn open_item(&mut self, name: &'static str, _i: usize) {
        self.enter(name);
    }

    fn close(&mut self) {
        let Some((outside, name)) = self.around.pop() else {
            return;
        };
        let inside = core::mem::replace(&mut self.properties, outside);
        let Some(entry) = self.properties.get_mut(name) else {
            return;
        };
        let object = match entry.get_mut("items") {
            Some(item) => item,
            None => entry,
        };
        object["properties"] = inside.into();
    }
}

pub(super) fn table() -> String {
    let mut writer = Table {
        prefixes: Vec::new(),
        rows: String::from("| field | default | accepted | meaning |\n|---|---|---|---|\n"),
    };
    declare(&mut Config::default(), &mut writer);
    writer.rows
}

struct Table {
    /// Of the objects that are open, the outermost first.
    prefixes: Vec<String>,
    rows: String,
}

impl Table {
    fn row(&mut self, name: &str, default: &str, accepted: &str, doc: &str) {
        let prefix = self.prefixes.concat();
        self.rows.push_str(&format!(
            "| `{prefix}{name}` | {default} | {accepted} | {doc} |\n"
        ));
    }
}

impl Visitor for Table {
    fn text(&mut self, name: &'static str, field: &mut String, doc: &str) {
        let default = if field.is_empty() {
            String::from("none")
        } else {
            format!("`{field}`")
        };
        self.row(name, &default, "string", doc);
    }

    fn integer(
        &mut self,
        name: &'static str,
        field: &mut u64,
        range: RangeInclusive<u64>,
        doc: &str,
    ) {
        self.row(
            name,
            &field.to_string(),
            &format!("{} to {}", range.start(), range.end()),
            doc,
        );
    }

    fn decimal(
        &mut self,
        name: &'static str,
        field: &mut u64,
        range: RangeInclusive<u64>,
        doc: &str,
    ) {
        self.row(
            name,
            &decimal_of(*field).to_string(),
            &format!("{} to {}", range.start(), range.end()),
            doc,
        );
    }

    fn flag(&mut self, name: &'static str, field: &mut bool, doc: &str) {
        self.row(name, &field.to_string(), "true, false", doc);
    }

    fn policy(&mut self, name: &'static str, field: &mut Policy, doc: &str) {
        let names: Vec<String> = Policy::NAMES
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        self.row(name, &format!("`{}`", field.name()), &names.join(", "), doc);
    }

    fn hosts(&mut self, name: &'static str, _field: &mut Vec<ConfiguredHost>, doc: &str) {
        self.row(
            name,
            "`[]`",
            "`\"ip:port\"` or `{\"address\", \"weight\", \"models\"}`",
            doc,
        );
    }

    fn addresses(&mut self, name: &'static str, _field: &mut Vec<Address>, doc: &str) {
        self.row(name, "`[]`", "`\"ip:port\"`", doc);
    }

    fn texts(&mut self, name: &'static str, _field: &mut Vec<String>, doc: &str) {
        self.row(name, "`[]`", "list of strings", doc);
    }

    fn open(&mut self, name: &'static str, _doc: &str) {
        self.prefixes.push(format!("{name}."));
    }

    fn list(&mut self, name: &'static str, doc: &str) -> usize {
        self.row(name, "`[]`", "list of objects", doc);
        1
    }

    fn open_item(&mut self, name: &'static str, _i: usize) {
        self.prefixes.push(format!("{name}[]."));
    }

    fn close(&mut self) {
        self.prefixes.pop();
    }
}
