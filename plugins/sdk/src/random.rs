//! Random bytes, fit for keys. They need the grant `random`.

/// So many random bytes, at most 4,096.
///
/// Natively, for tests, they are no secret: they differ from call to call, and that is all.
pub fn bytes(count: u32) -> Vec<u8> {
    imp(count)
}

#[cfg(target_family = "wasm")]
use crate::bindings::imports::picam::plugin::random::bytes as imp;

#[cfg(not(target_family = "wasm"))]
fn imp(count: u32) -> Vec<u8> {
    use std::hash::{BuildHasher, RandomState};

    // The standard library's only source: keys that differ between any two of these.
    let state = RandomState::new();
    let word = |number: u32| state.hash_one(number).to_le_bytes();
    (0..count.div_ceil(8))
        .flat_map(word)
        .take(count as usize)
        .collect()
}
