use std::{
    fmt::Write as _,
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use super::weight;

/// Begins every entry. Its number changes with the layout.
const MAGIC: &[u8; 8] = b"picamc01";
/// Bytes before the compiled code: magic and the code's SHA-256.
const HEAD: usize = MAGIC.len() + 32;
/// How many entries stay. A plugin has one for each of its versions and each of the host's.
const ENTRIES_MOST: usize = 64;
const SUFFIX: &str = ".compiled";

/// Compiled plugins, kept from one start to the next.
///
/// Compiled code runs with the host's own rights, so the directory must belong to this user, who alone may write and
/// read it, and an entry says by a checksum that it is what was written. An entry is named after the component's hash
/// and that of the compiler and its settings. Whatever is wrong with the directory costs time, never the start.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    directory: OwnedFd,
}

/// Where a compiled component came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Compiled,
    Cached,
}

/// The directory for compiled plugins, unless the configuration names another: that of the XDG base directory
/// specification, of systemd's `CacheDirectory=`, or of the system.
pub fn default_cache_dir() -> PathBuf {
    let from = |variable: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = from("CACHE_DIRECTORY")
        .or_else(|| Some(from("XDG_CACHE_HOME")?.join("picam-host")))
        .or_else(|| Some(from("HOME")?.join(".cache/picam-host")))
        .unwrap_or_else(|| PathBuf::from("/var/cache/picam-host"));
    base.join("plugins")
}

/// Whether compiled plugins can be kept in a directory: it is opened, or made, as at a start, and written to.
///
/// # Errors
/// What is wrong with it, and how to put it right.
pub fn check_cache_dir(path: &Path) -> anyhow::Result<()> {
    const PROBE: &str = "probe.compiled";
    let cache = Cache::open(path)?;
    cache.write(PROBE, b"")?;
    rustix::fs::unlinkat(&cache.directory, PROBE, AtFlags::empty())
        .with_context(|| format!("removing {}", path.join(PROBE).display()))
}

impl Cache {
    /// Opens the directory, and makes it if it isn't there.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("creating {}", path.display()));
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .with_context(|| format!("opening {} (a directory, and no link)", path.display()))?;
        let stat = rustix::fs::fstat(&directory)
            .with_context(|| format!("looking at {}", path.display()))?;
        let me = rustix::process::geteuid();
        if stat.st_uid != me.as_raw() {
            bail!(
                "{} belongs to user {}, not to user {me} who runs this; compiled code is taken from one's own \
                 directory only",
                path.display(),
                stat.st_uid,
            );
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.intersects(Mode::RWXG | Mode::RWXO) {
            bail!(
                "others can get at {0} (its mode is {1:o}); `chmod 700 {0}` puts that right",
                path.display(),
                mode.as_raw_mode() & 0o777,
            );
        }
        Ok(Self {
            path: path.to_owned(),
            directory,
        })
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).context("opening it"),
        };
        let stat = rustix::fs::fstat(&file).context("looking at it")?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            bail!("it belongs to user {}", stat.st_uid);
        }
        let mut entry = Vec::new();
        File::from(file)
            .read_to_end(&mut entry)
            .context("reading it")?;
        if entry.len() < HEAD || entry[..MAGIC.len()] != *MAGIC {
            bail!("it is not one of this version's entries");
        }
        let code = entry.split_off(HEAD);
        if *Sha256::digest(&code) != entry[MAGIC.len()..] {
            bail!("its checksum is wrong");
        }
        Ok(Some(code))
    }

    /// Writes an entry under another name first, so that nobody ever sees half of it.
    fn write(&self, name: &str, code: &[u8]) -> anyhow::Result<()> {
        let temporary = format!("{name}.{}.new", std::process::id());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let written =
            rustix::fs::openat(&self.directory, &temporary, flags, Mode::RUSR | Mode::WUSR)
                .map_err(std::io::Error::from)
                .and_then(|file| {
                    let mut file = File::from(file);
                    file.write_all(MAGIC)?;
                    file.write_all(&Sha256::digest(code))?;
                    file.write_all(code)?;
                    rustix::fs::renameat(&self.directory, &temporary, &self.directory, name)?;
                    Ok(())
                });
        if let Err(error) = written {
            // Nothing may be there to remove; what matters is the error before.
            let _ = rustix::fs::unlinkat(&self.directory, &temporary, AtFlags::empty());
            return Err(error)
                .with_context(|| format!("writing {}", self.path.join(name).display()));
        }
        self.prune()
    }

    /// Removes the oldest entries beyond the bound.
    fn prune(&self) -> anyhow::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path).context("listing the cache")? {
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
            rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())
                .context("removing an old entry")?;
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
                cache.path.join(&name).display()
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
    use std::os::unix::fs::PermissionsExt as _;

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
        let mode = entry(&path).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
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
    fn a_directory_that_others_can_reach_is_refused_with_the_way_out() {
        let (_parent, path) = directory();
        Cache::open(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Cache::open(&path).unwrap_err().to_string();
        assert!(
            error.contains("chmod 700") && error.contains("755"),
            "{error}"
        );
    }

    #[test]
    fn a_link_is_no_cache_directory() {
        let (parent, path) = directory();
        Cache::open(&path).unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Cache::open(&link).is_err());
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
