//! See `picam_host::fuzzing`. What mutates are files of plugins; now and then one is made up from scratch, with all that
//! the contract asks for and nonsense behind it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use plugin_smith::{Random, Smith};

static SMITH: LazyLock<Smith> = LazyLock::new(|| Smith::new().expect("the contract"));

fuzz_target!(|data: &[u8]| picam_host::fuzzing::plugin(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 4 == 0 {
        let made = SMITH.plugin(&Random::new(seed.into()).bytes(2_048));
        if let Some(made) = made.filter(|made| made.len() <= max_size) {
            data[..made.len()].copy_from_slice(&made);
            return made.len();
        }
    }
    fuzzer_mutate(data, size, max_size)
});
