//! `cargo xtask plugins [--check | --out DIR]`: the stock plugins, from their sources to `plugins/stock`.
//!
//! The `.wasm` files lie in the repository, so that building the host needs no wasm toolchain; beside each lies the
//! hash of what it was built from, so that a forgotten rebuild is found out.

mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use wasm_toolchain::{TARGET, Toolchain};

const USAGE: &str = "\
cargo xtask plugins              builds the stock plugins into plugins/stock
cargo xtask plugins --out DIR    builds them into DIR, and leaves plugins/stock alone
cargo xtask plugins --check      tells whether plugins/stock was built from the sources that are here";

/// Runs the command with the words behind `plugins`.
pub fn run(args: impl IntoIterator<Item = String>) -> Result<()> {
    let args: Vec<_> = args.into_iter().collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => {
            let before = hashes()?;
            let built = build(&stock())?;
            ensure!(
                before == hashes()?,
                "sources changed while they were compiled: run `cargo xtask plugins` again"
            );
            for ((name, built), (_, hash)) in built.iter().zip(before) {
                let noted = stock().join(name).with_extension("sources");
                fs::write(&noted, hash + "\n")
                    .with_context(|| format!("writing {}", noted.display()))?;
                report(built)?;
            }
            Ok(())
        }
        ["--out", dir] => {
            for (_, built) in build(Path::new(dir))? {
                report(&built)?;
            }
            Ok(())
        }
        ["--check"] => check(),
        ["-h" | "--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("`plugins {}` means nothing:\n{USAGE}", args.join(" ")),
    }
}

/// Fails unless every stock plugin was built from the sources that are here.
pub fn check() -> Result<()> {
    let mut stale = Vec::new();
    for (name, hash) in hashes()? {
        let wasm = stock().join(&name).with_extension("wasm");
        ensure!(
            wasm.exists(),
            "{} is missing: run `cargo xtask plugins`",
            wasm.display()
        );
        let noted = wasm.with_extension("sources");
        let noted = fs::read_to_string(&noted)
            .with_context(|| format!("reading {}: run `cargo xtask plugins`", noted.display()))?;
        if noted.trim() != hash {
            stale.push(format!("plugins/stock/{name}.wasm"));
        }
    }
    ensure!(
        stale.is_empty(),
        "{} not built from the sources that are here (plugin, SDK, WIT, lock file): run `cargo xtask plugins`, and \
         commit plugins/stock",
        stale.join(", ") + if stale.len() == 1 { " was" } else { " were" }
    );
    Ok(())
}

/// The plugins that travel inside the binary, sorted: every crate below `plugins/` that makes a dynamic library.
fn stock_names() -> Result<Vec<String>> {
    let folder = root().join("plugins");
    let listing = fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry?;
        let Ok(manifest) = fs::read_to_string(entry.path().join("Cargo.toml")) else {
            continue;
        };
        if manifest.contains("cdylib") {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The names of the stock plugins with the hashes of their sources.
fn hashes() -> Result<Vec<(String, String)>> {
    let names = stock_names()?.into_iter();
    names
        .map(|name| {
            let hash = sources::hash(&root(), &name)?;
            Ok((name, hash))
        })
        .collect()
}

/// Builds all of them into a directory. Names and files.
fn build(out: &Path) -> Result<Vec<(String, PathBuf)>> {
    fs::create_dir_all(out).with_context(|| format!("making the directory {}", out.display()))?;
    let toolchain = Toolchain::find()?;
    println!("building plugins with {toolchain}");
    let target_dir = target_dir();

    let manifest = root().join("plugins/Cargo.toml");
    let mut command = toolchain.build(&manifest, &root(), "picam-host");
    command.args(["--locked", "--target-dir"]).arg(&target_dir);
    let names = stock_names()?;
    for name in &names {
        command.args(["--package", name]);
    }
    succeed(&mut command)?;

    let modules = target_dir.join(TARGET).join("release");
    names
        .into_iter()
        .map(|name| {
            let built = out.join(&name).with_extension("wasm");
            let module = modules.join(name.replace('-', "_")).with_extension("wasm");
            componentize(&target_dir, &module, &built)?;
            Ok((name, built))
        })
        .collect()
}

/// Makes a component of a core module. The tool lives among the plugins, and not in here, so that nobody compiles it
/// who only wants to run the host.
fn componentize(target_dir: &Path, module: &Path, component: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    succeed(
        Command::new(cargo)
            .args(["run", "--quiet", "--locked", "--package", "componentize"])
            .arg("--manifest-path")
            .arg(root().join("plugins/Cargo.toml"))
            .arg("--target-dir")
            .arg(target_dir)
            .arg("--")
            .args([module, component]),
    )
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed ({status})", line(command));
    Ok(())
}

/// The command as it could be typed.
fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn report(built: &Path) -> Result<()> {
    let bytes = fs::metadata(built)?.len();
    println!("{} ({bytes} bytes)", built.display());
    Ok(())
}

fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_owned()
}

fn stock() -> PathBuf {
    root().join("plugins/stock")
}

/// Beside the host's own, so that `cargo clean` takes it along.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), PathBuf::from)
        .join("plugins")
}
