//! Finds a Rust that compiles for [`TARGET`], whichever of the two ways a machine has it: from rustup, with the target
//! added; or from the distribution, where the standard library is compiled along from its sources.
//!
//! Both `cargo xtask plugins` and `picam-host plugin build` stand on this.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// What plugins are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The oldest Rust 1.x that compiles the SDK: `rust-version` of `plugins/Cargo.toml`.
const OLDEST: u32 = 95;

/// Where distributions put theirs, beside which a rustup that reaches no network may come first on the path.
const DISTRIBUTION: &str = "/usr/bin";

/// A Rust toolchain that can compile for [`TARGET`].
#[derive(Debug)]
pub struct Toolchain {
    /// Folder of `cargo` and `rustc`; none where they are those on the path.
    bin: Option<PathBuf>,
    version: String,
    sysroot: PathBuf,
    library: Library,
    /// None where the compiler brings its own.
    linker: Option<PathBuf>,
}

/// Where the standard library comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Library {
    /// It came with the toolchain.
    Installed,
    /// It is compiled from its sources, which did.
    FromSource,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.version)?;
        if let Some(bin) = &self.bin {
            write!(f, " of {}", bin.display())?;
        }
        match self.library {
            Library::Installed => write!(f, ", {TARGET} installed"),
            Library::FromSource => write!(f, ", the standard library from its sources"),
        }
    }
}

impl Toolchain {
    /// The first toolchain that works, one that has its standard library compiled before one that hasn't.
    ///
    /// # Errors
    /// What was looked at, why it wouldn't do, and the two ways to get one.
    pub fn find() -> Result<Self> {
        let mut found = Vec::new();
        let mut rejected = Vec::new();
        for bin in [None, Some(PathBuf::from(DISTRIBUTION))] {
            match Self::look(bin.clone()) {
                Ok(toolchain) => found.push(toolchain),
                Err(why) => rejected.push(format!(
                    "  {}: {why:#}",
                    bin.as_deref()
                        .unwrap_or(Path::new("rustc on the path"))
                        .display()
                )),
            }
        }
        found.sort_by_key(|toolchain| toolchain.library);
        found.into_iter().next().with_context(|| {
            format!(
                "no Rust here compiles for {TARGET}:\n{}\nWith rustup: `rustup target add {TARGET}`. On Debian, \
                 without rustup or a network for it: `apt-get install --no-install-recommends rustc-web cargo-web \
                 rust-web-src libstd-rust-web-dev lld`",
                rejected.join("\n")
            )
        })
    }

    fn look(bin: Option<PathBuf>) -> Result<Self> {
        let ask = |argument: &[&str]| -> Result<String> {
            let mut command = program(bin.as_deref(), "rustc");
            let output = command.args(argument).output().context("not there")?;
            if !output.status.success() {
                bail!("rustc {} failed ({})", argument.join(" "), output.status);
            }
            Ok(String::from_utf8(output.stdout)
                .context("rustc answered no UTF-8")?
                .trim()
                .to_owned())
        };
        let verbose = ask(&["-vV"])?;
        let version = verbose.lines().next().unwrap_or_default().to_owned();
        let host = verbose
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("rustc -vV names no host")?;
        if minor(&version).is_none_or(|minor| minor < OLDEST) {
            bail!("{version} is too old, 1.{OLDEST} is needed");
        }
        if let Some(bin) = &bin
            && !bin.join("cargo").is_file()
        {
            bail!("{version} has no cargo beside it");
        }
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?);
        let rustlib = sysroot.join("lib/rustlib");
        let library = if has_std(&rustlib.join(TARGET).join("lib")) {
            Library::Installed
        } else if rustlib.join("src/rust/library/std/Cargo.toml").is_file() {
            Library::FromSource
        } else {
            bail!(
                "{version} has the standard library for {TARGET} neither compiled nor as sources"
            );
        };
        let linker = if rustlib.join(host).join("bin/rust-lld").is_file() {
            None
        } else {
            Some(wasm_ld().with_context(|| {
                format!("{version} has no rust-lld, and there is no wasm-ld: `apt-get install lld` brings one")
            })?)
        };
        Ok(Self {
            bin,
            version,
            sysroot,
            library,
            linker,
        })
    }

    /// The command that compiles the crates of `manifest` to core modules, with `--release`; which ones remains to be
    /// said. They come to lie in `TARGET/release` of the target directory.
    ///
    /// Paths of this machine are mapped away (`sources` is the folder to which all of the sources belong, and `name`
    /// stands for it), so that the same sources give the same bytes wherever they lie.
    pub fn build(&self, manifest: &Path, sources: &Path, name: &str) -> Command {
        let mut command = program(self.bin.as_deref(), "cargo");
        command
            .args(["build", "--release", "--target", TARGET])
            .arg("--manifest-path")
            .arg(manifest);
        if self.library == Library::FromSource {
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC_BOOTSTRAP", "1");
        }
        if let Some(linker) = &self.linker {
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        let flags: Vec<_> = [
            (cargo_home(), "/cargo".to_owned()),
            (
                Some(self.sysroot.join("lib/rustlib/src/rust")),
                "/rust".to_owned(),
            ),
            (Some(sources.to_owned()), format!("/{name}")),
        ]
        .into_iter()
        .filter_map(|(from, to)| {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(from?);
            flag.push("=");
            flag.push(to);
            Some(flag)
        })
        .collect();
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}".as_ref()));
        command
    }

    /// Whether the standard library is compiled along, which takes a minute the first time.
    pub fn compiles_std(&self) -> bool {
        self.library == Library::FromSource
    }
}

/// A program of a toolchain, freed from what the cargo that runs us told us about its own.
fn program(bin: Option<&Path>, name: &str) -> Command {
    let Some(bin) = bin else {
        let mut command = Command::new(name);
        command.env_remove("RUSTC").env_remove("CARGO");
        return command;
    };
    let mut path = OsString::from(bin);
    if let Some(rest) = env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let mut command = Command::new(bin.join(name));
    command
        .env("PATH", path)
        .env("RUSTC", bin.join("rustc"))
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("LD_LIBRARY_PATH");
    command
}

/// `x` of `rustc 1.x.y (…)`.
fn minor(version: &str) -> Option<u32> {
    let mut numbers = version.split_whitespace().nth(1)?.split('.');
    (numbers.next()? == "1").then_some(())?;
    numbers.next()?.parse().ok()
}

fn has_std(folder: &Path) -> bool {
    let Ok(listing) = fs::read_dir(folder) else {
        return false;
    };
    listing
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// `wasm-ld`, or the newest `wasm-ld-N`.
fn wasm_ld() -> Option<PathBuf> {
    let mut found = Vec::new();
    for folder in env::split_paths(&env::var_os("PATH")?) {
        let Ok(listing) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in listing.flatten() {
            let name = entry.file_name();
            let version = match name.to_str().and_then(|name| name.strip_prefix("wasm-ld")) {
                Some("") => Some(u32::MAX),
                Some(suffix) => suffix.strip_prefix('-').and_then(|n| n.parse().ok()),
                None => None,
            };
            found.extend(version.map(|version| (version, entry.path())));
        }
    }
    found
        .into_iter()
        .max_by_key(|(version, _)| *version)
        .map(|(_, path)| path)
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_rustc_writes_them() {
        assert_eq!(
            minor("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"),
            Some(96)
        );
        assert_eq!(
            minor("rustc 1.97.0-nightly (f8704be04 2026-04-20)"),
            Some(97)
        );
        assert_eq!(minor("rustc 2.0.0"), None);
        assert_eq!(minor(""), None);
    }
}
