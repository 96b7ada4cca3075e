//! `plugin-smith COUNT DIRECTORY`: writes so many plugins that nobody would write, always the same ones.

use std::path::PathBuf;

use anyhow::Context as _;
use plugin_smith::{Random, Smith};

/// Bytes that each is made of.
const BYTES: usize = 2_048;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments
        .next()
        .and_then(|count| count.parse().ok())
        .context("plugin-smith COUNT DIRECTORY")?;
    let directory = PathBuf::from(arguments.next().context("plugin-smith COUNT DIRECTORY")?);
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("creating {}", directory.display()))?;
    let smith = Smith::new()?;
    let mut random = Random::new(0);
    for number in 0..count {
        let plugin = loop {
            if let Some(plugin) = smith.plugin(&random.bytes(BYTES)) {
                break plugin;
            }
        };
        let path = directory.join(format!("{number}.wasm"));
        std::fs::write(&path, plugin).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
