//! Shared data: one store for all VMs of a `vm_id`, with compare and swap.

use std::collections::BTreeMap;

use super::status::{Answer, CAS_MISMATCH, NOT_FOUND};

/// The store. The compare-and-swap number is one counter for all keys, as in the C++ host.
#[derive(Debug)]
pub struct SharedData {
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    next: u32,
}

impl Default for SharedData {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            next: 1,
        }
    }
}

impl SharedData {
    /// Value and its compare-and-swap number.
    pub fn get(&self, key: &[u8]) -> Answer<(Vec<u8>, u32)> {
        self.values.get(key).cloned().ok_or(NOT_FOUND)
    }

    /// Sets a key. 0 always wins; another number must be the current one, unless the key is new.
    pub fn set(&mut self, key: &[u8], value: &[u8], cas: u32) -> Answer<()> {
        if let Some((_, current)) = self.values.get(key)
            && cas != 0
            && cas != *current
        {
            return Err(CAS_MISMATCH);
        }
        let number = self.next;
        // 0 stands for "always" in `set`, so no value may carry it.
        self.next = self.next.wrapping_add(1).max(1);
        self.values.insert(key.to_vec(), (value.to_vec(), number));
        Ok(())
    }

    /// Keys in order.
    pub fn keys(&self) -> impl Iterator<Item = String> + '_ {
        self.values
            .keys()
            .map(|key| String::from_utf8_lossy(key).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compare_and_swap_lets_one_writer_win() {
        let mut data = SharedData::default();
        assert_eq!(data.get(b"k"), Err(NOT_FOUND));
        // A new key takes any number: the C++ host compares only with an existing entry.
        assert_eq!(data.set(b"k", b"1", 77), Ok(()));
        let (_, cas) = data.get(b"k").unwrap();
        assert_eq!(data.set(b"k", b"2", cas), Ok(()));
        assert_eq!(data.set(b"k", b"3", cas), Err(CAS_MISMATCH));
        assert_eq!(data.set(b"k", b"4", 0), Ok(()));
        assert_eq!(data.get(b"k").unwrap().0, b"4");
    }

    #[test]
    fn the_number_is_never_zero() {
        let mut data = SharedData {
            next: u32::MAX,
            ..SharedData::default()
        };
        data.set(b"a", b"", 0).unwrap();
        data.set(b"b", b"", 0).unwrap();
        assert_eq!(data.get(b"b").unwrap().1, 1);
    }
}
