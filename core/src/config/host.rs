//! One host as the configuration lists it: `"ip:port"` or an object.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::hash;
use crate::host::Address;
use crate::json::Value;

/// A host named in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredHost {
    /// Where it listens.
    pub address: Address,
    /// Its speed relative to the others, until its real speed has been learned.
    pub weight: u32,
    /// Keys of the models it serves; empty when it says so itself.
    pub models: Vec<u64>,
}

/// The fields of a host object, as messages list them.
pub(super) const FIELDS: &str = "address, weight, models";

/// Reads `ip:port`.
pub(super) fn address(text: &str, path: &str, errors: &mut Vec<String>) -> Option<Address> {
    let address = Address::parse(text);
    if address.is_none() {
        errors.push(format!("{path}: \"{text}\" is not accepted; give a literal ip:port such as \"10.0.0.7:8000\" or \"[fd00::7]:8000\""));
    }
    address
}

pub(super) fn read(value: &Value, path: &str, errors: &mut Vec<String>) -> Option<ConfiguredHost> {
    match value {
        Value::String(text) => Some(ConfiguredHost {
            address: address(text, path, errors)?,
            weight: 1,
            models: Vec::new(),
        }),
        Value::Object(fields) => {
            let mut host = None;
            let mut weight = 1;
            let mut models = Vec::new();
            for (name, value) in fields.iter() {
                let path = format!("{path}.{name}");
                match (name.as_str(), value) {
                    ("address", Value::String(text)) => host = address(text, &path, errors),
                    ("weight", value)
                        if value.as_u64().is_some_and(|n| (1..=1000).contains(&n)) =>
                    {
                        weight = value
                            .as_u64()
                            .and_then(|n| u32::try_from(n).ok())
                            .unwrap_or(1);
                    }
                    ("models", Value::Array(names)) if names.iter().all(Value::is_string) => {
                        models = names
                            .iter()
                            .filter_map(Value::as_str)
                            .map(|name| hash::key(name.as_bytes()))
                            .collect();
                    }
                    ("address", other) => errors.push(format!(
                        "{path}: {other} is not accepted; give a string ip:port"
                    )),
                    ("weight", other) => errors.push(format!(
                        "{path}: {other} is not accepted; give an integer from 1 to 1000"
                    )),
                    ("models", other) => errors.push(format!(
                        "{path}: {other} is not accepted; give a list of model names"
                    )),
                    _ => errors.push(format!("{path}: unknown field; accepted here: {FIELDS}")),
                }
            }
            if fields.get("address").is_none() {
                errors.push(format!(
                    "{path}.address: missing; give a literal ip:port such as \"10.0.0.7:8000\""
                ));
            }
            Some(ConfiguredHost {
                address: host?,
                weight,
                models,
            })
        }
        other => {
            errors.push(format!(
                "{path}: {} is not accepted; give \"ip:port\" or an object with {FIELDS}",
                other
            ));
            None
        }
    }
}
