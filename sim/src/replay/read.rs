use plimsoll_core::record::{self, LINE};
use serde_json::Value;

/// What a file of records holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Records, in their order; not yet checked.
    pub records: Vec<Vec<u8>>,
    /// Places that should hold a record and do not: number of the line, or of the record.
    pub unreadable: Vec<usize>,
}

/// Finds the records in `bytes`: records one after the other, or the lines of a proxy's log or of its access log (JSON with a field `record`).
/// Lines without a record are passed over.
#[must_use]
pub fn read(bytes: &[u8]) -> Found {
    let mut found = Found::default();
    if bytes.starts_with(b"PLSD") {
        found.records = record::split(bytes).map(<[u8]>::to_vec).collect();
        let read: usize = found.records.iter().map(Vec::len).sum();
        if read < bytes.len() {
            found.unreadable.push(found.records.len() + 1);
        }
        return found;
    }
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let Some(text) = text_of(line) else { continue };
        let mut record = Vec::new();
        if record::decode(text.as_bytes(), &mut record) {
            found.records.push(record);
        } else {
            found.unreadable.push(number + 1);
        }
    }
    found
}

/// The base64 of the record in a line, if there is one.
fn text_of(line: &[u8]) -> Option<String> {
    if line.trim_ascii_start().starts_with(b"{") {
        let fields: Value = serde_json::from_slice(line).ok()?;
        let text = fields.get("record")?.as_str()?;
        // Envoy's dash for what is not there.
        return (!text.is_empty() && text != "-").then(|| text.to_owned());
    }
    let line = String::from_utf8_lossy(line);
    let (_, rest) = line.split_once(LINE)?;
    rest.split_whitespace().next().map(str::to_owned)
}
