use alloc::vec::Vec;

use super::{HEADER, MAGIC, RECORD, VERSION};
use crate::bytes::{pad, put};
use crate::fleet::Listed;
use crate::hash;
use crate::time::Instant;

/// Writes a snapshot of `hosts` into `out`, which is emptied first.
pub fn write(
    out: &mut Vec<u8>,
    epoch: u64,
    stamp: Instant,
    writer: u64,
    hosts: impl Iterator<Item = Listed>,
) {
    out.clear();
    pad(out, HEADER);
    let mut count: u32 = 0;
    for host in hosts {
        let start = out.len();
        out.extend_from_slice(&host.address.to_bytes());
        out.push(host.state as u8);
        out.push(u8::from(host.polled.is_some()));
        out.extend_from_slice(&host.weight.to_le_bytes());
        let polled = host.polled.unwrap_or_default();
        out.extend_from_slice(&polled.at.as_micros().to_le_bytes());
        for value in [polled.running, polled.waiting, polled.kv_used_q16, 0] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&polled.kv_capacity_tokens.to_le_bytes());
        for model in host.models {
            out.extend_from_slice(&model.to_le_bytes());
        }
        out.extend_from_slice(&host.since.as_micros().to_le_bytes());
        out.extend_from_slice(&polled.computed_tokens.to_le_bytes());
        pad(out, start + RECORD);
        count += 1;
    }
    put(out, 0, MAGIC);
    put(out, 4, &VERSION.to_le_bytes());
    put(out, 6, &(RECORD as u16).to_le_bytes());
    put(out, 8, &epoch.to_le_bytes());
    put(out, 16, &stamp.as_micros().to_le_bytes());
    put(out, 32, &writer.to_le_bytes());
    put(out, 40, &count.to_le_bytes());
    let checksum = hash::key(out.get(32..).unwrap_or_default());
    put(out, 24, &checksum.to_le_bytes());
}
