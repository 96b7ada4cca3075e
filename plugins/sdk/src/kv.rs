//! A small store that survives reloads of the plugin: 64 KiB in all, keys up to 256 bytes. It needs the grant `kv`.
//!
//! All instances of a plugin share it and run side by side. Natively, for tests, each thread has a store of its own.

pub use imp::{delete, get, keys, replace, set};

/// The value of `key`; if there is none, that of `make` is stored and returned. All instances that ask get the same.
///
/// ```
/// use picam_plugin::kv;
///
/// assert_eq!(kv::get_or_store("key", || vec![1]), Ok(vec![1]));
/// assert_eq!(kv::get_or_store("key", || vec![2]), Ok(vec![1]));
/// ```
///
/// # Errors
/// The limit of the store that was hit.
pub fn get_or_store(key: &str, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, String> {
    if let Some(value) = get(key) {
        return Ok(value);
    }
    let made = make();
    if replace(key, None, Some(&made))? {
        return Ok(made);
    }
    // Another instance was faster. It may even have deleted it again; then ours is as good as any.
    Ok(get(key).unwrap_or(made))
}

#[cfg(target_family = "wasm")]
mod imp {
    use crate::bindings::imports::picam::plugin::kv;

    /// The value of a key.
    pub fn get(key: &str) -> Option<Vec<u8>> {
        kv::get(key)
    }

    /// Sets a value.
    ///
    /// # Errors
    /// The limit that was hit.
    pub fn set(key: &str, value: &[u8]) -> Result<(), String> {
        kv::set(key, value)
    }

    /// Writes `value` (none deletes) provided that what is there is still `expected` (none: nothing is), in one step.
    /// Whether it was.
    ///
    /// # Errors
    /// The limit that was hit.
    pub fn replace(
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<bool, String> {
        kv::replace(key, expected, value)
    }

    /// Deletes a key, if it is there.
    pub fn delete(key: &str) {
        kv::delete(key);
    }

    /// All keys.
    pub fn keys() -> Vec<String> {
        kv::keys()
    }
}

#[cfg(not(target_family = "wasm"))]
mod imp {
    use std::{cell::RefCell, collections::BTreeMap};

    thread_local! {
        static STORE: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// The value of a key.
    pub fn get(key: &str) -> Option<Vec<u8>> {
        STORE.with_borrow(|store| store.get(key).cloned())
    }

    /// Sets a value.
    ///
    /// # Errors
    /// The limit that was hit.
    pub fn set(key: &str, value: &[u8]) -> Result<(), String> {
        STORE.with_borrow_mut(|store| {
            let others = store.iter().filter(|(known, _)| *known != key);
            let size: usize = others.map(|(key, value)| key.len() + value.len()).sum();
            if key.len() > 256 {
                return Err("a key has at most 256 bytes".into());
            }
            if size + key.len() + value.len() > 64 << 10 {
                return Err("keys and values have at most 65536 bytes together".into());
            }
            store.insert(key.into(), value.into());
            Ok(())
        })
    }

    /// Writes `value` (none deletes) provided that what is there is still `expected` (none: nothing is), in one step.
    /// Whether it was.
    ///
    /// # Errors
    /// The limit that was hit.
    pub fn replace(
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<bool, String> {
        if get(key).as_deref() != expected {
            return Ok(false);
        }
        match value {
            Some(value) => set(key, value)?,
            None => delete(key),
        }
        Ok(true)
    }

    /// Deletes a key, if it is there.
    pub fn delete(key: &str) {
        STORE.with_borrow_mut(|store| store.remove(key));
    }

    /// All keys.
    pub fn keys() -> Vec<String> {
        STORE.with_borrow(|store| store.keys().cloned().collect())
    }
}
