//! Files that nobody would write, given for plugins. What may come of one is said by the body of the fuzz target.

use std::path::Path;

use crate::plugin::{fuzzing, stock};

/// How often each stock plugin is damaged.
const TIMES: u64 = 40;

/// The same numbers in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("it is below a usize")
    }
}

#[test]
fn a_damaged_plugin_is_refused_or_does_no_harm() {
    for &(name, plugin) in stock::ALL {
        for seed in 0..TIMES {
            println!("{name}, damaged for the {seed}th time");
            let mut random = Random(seed);
            let mut damaged = plugin.to_vec();
            for _ in 0..1 + random.below(4) {
                let at = random.below(damaged.len());
                match random.below(8) {
                    0 => damaged.truncate(at.max(1)),
                    1 => {
                        damaged.remove(at);
                    }
                    2 => damaged.insert(at, 0xff),
                    _ => damaged[at] ^= 1 << random.below(8),
                }
            }
            fuzzing::plugin(&damaged);
        }
    }
}

/// Of what `plugin-smith` made, which `cargo xtask test` has do so beforehand.
#[test]
fn a_plugin_with_nonsense_behind_its_hooks_is_refused_or_does_no_harm() {
    let Some(made) = std::env::var_os("PICAM_SMITHED") else {
        eprintln!("PICAM_SMITHED is not set: only what lies in host/fuzz/corpus is loaded");
        return;
    };
    let mut count = 0;
    for entry in std::fs::read_dir(Path::new(&made)).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        fuzzing::plugin(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0);
}
