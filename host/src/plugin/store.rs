use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

/// Where what a plugin stores with `kv` is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// In memory: it survives reloads of the plugin.
    #[default]
    Memory,
    /// In a file, too: it survives restarts of the host.
    Persistent,
}

/// Begins a file. Its number changes with the layout.
const MAGIC: &[u8; 8] = b"picamkv1";
/// Bytes before the entries: magic and the entries' SHA-256.
const HEAD: usize = MAGIC.len() + 32;

/// The small store of `kv`.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub(super) values: BTreeMap<String, Vec<u8>>,
    /// Bytes of all keys and values.
    size: usize,
    /// Counts changes.
    pub(super) version: u64,
}

impl Store {
    const SIZE_MOST: usize = 64 << 10;
    const KEY_MOST: usize = 256;
    /// Bytes of a file: more than any store takes, of however small pieces it is.
    pub(super) const FILE_MOST: u64 = 1 << 20;

    pub(super) fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), String> {
        if key.len() > Self::KEY_MOST {
            return Err(format!(
                "the key has {} bytes; at most {} are allowed",
                key.len(),
                Self::KEY_MOST
            ));
        }
        let old = self.values.get(&key);
        if old == Some(&value) {
            return Ok(());
        }
        let freed = old.map_or(0, |old| key.len() + old.len());
        let size = self.size - freed + key.len() + value.len();
        if size > Self::SIZE_MOST {
            return Err(format!(
                "keys and values would take {size} bytes; at most {} are allowed",
                Self::SIZE_MOST
            ));
        }
        self.values.insert(key, value);
        self.size = size;
        self.version += 1;
        Ok(())
    }

    /// Sets or deletes if the value is the expected one. Whether it was.
    pub(super) fn replace(
        &mut self,
        key: String,
        expected: Option<&[u8]>,
        value: Option<Vec<u8>>,
    ) -> Result<bool, String> {
        if self.values.get(&key).map(Vec::as_slice) != expected {
            return Ok(false);
        }
        match value {
            Some(value) => self.set(key, value)?,
            None => self.delete(&key),
        }
        Ok(true)
    }

    pub(super) fn delete(&mut self, key: &str) {
        if let Some(old) = self.values.remove(key) {
            self.size -= key.len() + old.len();
            self.version += 1;
        }
    }

    /// As a file: magic, SHA-256 of the rest, and the entries by key; of each, key and value, with their lengths before
    /// them in four bytes, the lowest first.
    pub(super) fn to_file(&self) -> Vec<u8> {
        let mut entries = Vec::with_capacity(self.size + 8 * self.values.len());
        for (key, value) in &self.values {
            for text in [key.as_bytes(), value] {
                let length = u32::try_from(text.len()).expect("a store is far smaller");
                entries.extend(length.to_le_bytes());
                entries.extend(text);
            }
        }
        [MAGIC, &Sha256::digest(&entries)[..], &entries].concat()
    }

    /// Reads what [`to_file`](Self::to_file) wrote.
    pub(super) fn from_file(file: &[u8]) -> anyhow::Result<Self> {
        if file.len() < HEAD || file[..MAGIC.len()] != *MAGIC {
            bail!("it doesn't begin as a store of this version does");
        }
        let mut entries = &file[HEAD..];
        if *Sha256::digest(entries) != file[MAGIC.len()..HEAD] {
            bail!("its checksum is wrong");
        }
        let mut store = Self::default();
        while !entries.is_empty() {
            let key = String::from_utf8(piece(&mut entries)?).context("a key is no text")?;
            let value = piece(&mut entries)?;
            if store.values.contains_key(&key) {
                bail!("a key is there twice");
            }
            store.set(key, value).map_err(anyhow::Error::msg)?;
        }
        Ok(store)
    }
}

fn piece(entries: &mut &[u8]) -> anyhow::Result<Vec<u8>> {
    let cut = "an entry is cut off";
    let (length, rest) = entries.split_first_chunk().context(cut)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).context(cut)?;
    let (piece, rest) = rest.split_at_checked(length).context(cut)?;
    *entries = rest;
    Ok(piece.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_store_names_the_limit_that_it_keeps() {
        let mut store = Store::default();
        store.set("a".into(), vec![0; 60 << 10]).unwrap();
        let error = store.set("b".into(), vec![0; 10 << 10]).unwrap_err();
        assert!(error.contains("65536"), "{error}");
        store.set("a".into(), vec![0; 10]).unwrap();
        store.set("b".into(), vec![0; 10 << 10]).unwrap();
        store.delete("b");
        store.delete("b");
        assert_eq!(store.size, 11);
        assert!(
            store
                .set("k".repeat(257), vec![])
                .unwrap_err()
                .contains("256")
        );
    }

    #[test]
    fn of_two_who_replace_what_they_saw_the_second_is_told_that_it_changed() {
        let mut store = Store::default();
        let key = || "key".to_owned();
        assert_eq!(store.replace(key(), None, Some(vec![1])), Ok(true));
        assert_eq!(store.replace(key(), None, Some(vec![2])), Ok(false));
        assert_eq!(store.values["key"], [1]);
        assert_eq!(store.replace(key(), Some(&[1]), Some(vec![2, 3])), Ok(true));
        assert_eq!(store.replace(key(), Some(&[1]), None), Ok(false));
        assert_eq!(store.replace(key(), Some(&[2, 3]), None), Ok(true));
        assert_eq!(store.size, 0);
        let error = store
            .replace("k".repeat(257), None, Some(vec![]))
            .unwrap_err();
        assert!(error.contains("256"), "{error}");
    }

    #[test]
    fn what_changes_nothing_is_no_change() {
        let mut store = Store::default();
        store.set("a".into(), vec![1]).unwrap();
        let version = store.version;
        store.set("a".into(), vec![1]).unwrap();
        store.delete("b");
        assert_eq!(store.replace("a".into(), None, None), Ok(false));
        assert_eq!(store.version, version);
        store.set("a".into(), vec![]).unwrap();
        assert!(store.version > version);
    }

    #[test]
    fn the_largest_file_of_the_smallest_pieces_is_within_its_bound() {
        let mut store = Store::default();
        for n in 0.. {
            // Three bytes make four characters, so keys of two bytes run out first.
            if store.set(format!("{n:x}"), vec![]).is_err() {
                break;
            }
        }
        let file = store.to_file();
        assert!(u64::try_from(file.len()).unwrap() < Store::FILE_MOST / 2);
        assert_eq!(Store::from_file(&file).unwrap().values, store.values);
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let mut store = Store::default();
        store.set("key".into(), b"value".to_vec()).unwrap();
        store.set(String::new(), vec![]).unwrap();
        let whole = store.to_file();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            assert!(Store::from_file(&flipped).is_err(), "byte {at}");
            assert!(Store::from_file(&whole[..at]).is_err(), "cut at {at}");
        }
        assert!(Store::from_file(&[&whole[..], b"x"].concat()).is_err());
    }

    proptest! {
        #[test]
        fn what_was_stored_is_read_back(entries: BTreeMap<String, Vec<u8>>) {
            let mut store = Store::default();
            for (key, value) in entries {
                // What is refused isn't stored.
                let _ = store.set(key, value);
            }
            let read = Store::from_file(&store.to_file()).unwrap();
            prop_assert_eq!(&read.values, &store.values);
            prop_assert_eq!(read.size, store.size);
        }

        /// With a checksum that is right, which bytes that rotted don't have, and ones that somebody made up do.
        #[test]
        fn no_bytes_break_the_reader(entries: Vec<u8>) {
            let file = [MAGIC, &Sha256::digest(&entries)[..], &entries].concat();
            if let Ok(store) = Store::from_file(&file) {
                prop_assert!(store.size <= Store::SIZE_MOST);
            }
        }
    }
}
