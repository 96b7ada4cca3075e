use std::{
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use super::weight;
use crate::private_directory::{PrivateDirectory, default_base};

/// Begins every entry. Its number changes with the layout.
const MAGIC: &[u8; 8] = b"picamc01";
/// Bytes before the compiled code: magic and the code's SHA-256.
const HEAD: usize = MAGIC.len() + 32;
/// Bytes of an entry. The largest plugins there are, in Python, take a tenth of it.
const ENTRY_MOST: u64 = 1 << 30;
/// How many entries stay. A plugin has one for each of its versions and each of the host's.
const ENTRIES_MOST: usize = 64;
const SUFFIX: &str = ".compiled";

/// Compiled plugins, kept from one start to the next.
///
/// Compiled code runs with the host's own rights, so the directory must be this user's alone, and an entry says by a
/// checksum that it is what was written. An entry is named after the component's hash and that of the compiler and its
/// settings. Whatever is wrong with the directory costs time, never the start.
#[derive(Debug)]
pub(super) struct Cache(PrivateDirectory);

/// Where a compiled component came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Compiled,
    Cached,
}

/// The directory for compiled plugins, unless the configuration names another: that of the XDG base directory
/// specification, of systemd's `CacheDirectory=`, or of the system.
pub fn default_cache_dir() -> PathBuf {
    default_base("CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache", "/var/cache").join("plugins")
}

/// Whether compiled plugins can be kept in a directory: it is opened, or made, as at a start, and written to.
///
/// # Errors
/// What is wrong with it, and how to put it right.
pub fn check_cache_dir(path: &Path) -> anyhow::Result<()> {
    const PROBE: &str = "probe.compiled";
    let cache = Cache::open(path)?;
    cache.write(PROBE, b"")?;
    cache
        .0
        .remove(PROBE)
        .with_context(|| format!("removing {}", path.join(PROBE).display()))
}

impl Cache {
    /// Opens the directory, and makes it if it isn't there.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        PrivateDirectory::open(path).map(Self)
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(mut entry) = self.0.read(name, ENTRY_MOST)? else {
            return Ok(None);
        };
        if entry.len() < HEAD || entry[..MAGIC.len()] != *MAGIC {
            bail!("it is not one of this version's entries");
        }
        let code = entry.split_off(HEAD);
        if *Sha256::digest(&code) != entry[MAGIC.len()..] {
            bail!("its checksum is wrong");
        }
        Ok(Some(code))
    }

    /// Not lasting: what a power cut makes of an entry is seen by its checksum.
    fn write(&self, name: &str, code: &[u8]) -> anyhow::Result<()> {
        self.0
            .write(name, &[MAGIC, &Sha256::digest(code), code], false)?;
        self.prune()
    }

    /// Removes the oldest entries beyond the bound.
    fn prune(&self) -> anyhow::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.0.path()).context("listing the cache")? {
            let entry = entry.context("listing the cache")?;
            let metadata = entry.metadata().context("listing the cache")?;
            if metadata.is_file() {
                entries.push((
                    metadata.modified().context("listing the cache")?,
                    entry.file_name(),
                ));
            }
        }
        entries.sort();
        let surplus = entries.len().saturating_sub(ENTRIES_MOST);
        for (_, name) in &entries[..surplus] {
            let name = name.to_string_lossy();
            self.0.remove(&name).context("removing an old entry")?;
        }
        Ok(())
    }
}

/// Compiles a component, or takes it from the cache if it was compiled before.
pub(super) fn compile(
    engine: &Engine,
    component: &[u8],
    cache: Option<&Cache>,
) -> anyhow::Result<(Component, Origin)> {
    let name = entry_name(engine, component);
    if let Some(cache) = cache {
        match cache.read(&name).and_then(|code| {
            let Some(code) = code else { return Ok(None) };
            // SAFETY: the code was written by this user's picam-host, since the directory is this user's alone, and
            // hasn't changed since, since its checksum holds. That it suits this engine is checked by Wasmtime.
            let component = unsafe { Component::deserialize(engine, code) }?;
            Ok(Some(component))
        }) {
            Ok(Some(component)) => return Ok((component, Origin::Cached)),
            Ok(None) => {}
            Err(error) => tracing::warn!(
                "the compiled plugin {} can't be used and is made anew: {error:#}",
                cache.0.path().join(&name).display()
            ),
        }
    }
    weight::check(component)?;
    let code = engine
        .precompile_component(component)
        .map_err(anyhow::Error::from)
        .context("it can't be compiled")?;
    if let Some(cache) = cache
        && let Err(error) = cache.write(&name, &code)
    {
        tracing::warn!(
            "a compiled plugin can't be kept, so the next start takes longer: {error:#}"
        );
    }
    // SAFETY: this engine has just made it.
    let component = unsafe { Component::deserialize(engine, code) }
        .map_err(anyhow::Error::from)
        .context("loading what was just compiled")?;
    Ok((component, Origin::Compiled))
}

/// The component's hash, and that of the compiler, its settings and the processor.
fn entry_name(engine: &Engine, component: &[u8]) -> String {
    let mut name = String::new();
    for byte in Sha256::digest(component) {
        write!(name, "{byte:02x}").expect("writing to a string never fails");
    }
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    write!(name, "-{:016x}{SUFFIX}", hasher.finish()).expect("writing to a string never fails");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deep/cache");
        (parent, path)
    }

    fn entry(path: &Path) -> PathBuf {
        let mut names = fs::read_dir(path).unwrap();
        let name = names.next().unwrap().unwrap().path();
        assert!(names.next().is_none(), "one entry and no leftovers");
        name
    }

    #[test]
    fn the_second_load_does_not_compile() {
        let (_parent, path) = directory();
        let engine = Engine::default();
        let cache = Cache::open(&path).unwrap();
        assert_eq!(
            compile(&engine, EMPTY, Some(&cache)).unwrap().1,
            Origin::Compiled
        );
        let again = Cache::open(&path).unwrap();
        assert_eq!(
            compile(&engine, EMPTY, Some(&again)).unwrap().1,
            Origin::Cached
        );
        entry(&path);
    }

    #[test]
    fn a_damaged_entry_is_compiled_anew_and_mended() {
        let (_parent, path) = directory();
        let engine = Engine::default();
        let cache = Cache::open(&path).unwrap();
        compile(&engine, EMPTY, Some(&cache)).unwrap();
        let file = entry(&path);
        let whole = fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() / 2], &whole[..3], b""] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(
                compile(&engine, EMPTY, Some(&cache)).unwrap().1,
                Origin::Compiled
            );
            assert_eq!(fs::read(&file).unwrap(), whole);
        }
    }

    #[test]
    fn the_oldest_entries_go() {
        let (_parent, path) = directory();
        let cache = Cache::open(&path).unwrap();
        for number in 0..ENTRIES_MOST + 5 {
            cache.write(&format!("{number}{SUFFIX}"), b"code").unwrap();
        }
        assert_eq!(fs::read_dir(&path).unwrap().count(), ENTRIES_MOST);
        assert!(
            cache
                .read(&format!("{}{SUFFIX}", ENTRIES_MOST + 4))
                .unwrap()
                .is_some()
        );
    }
}
