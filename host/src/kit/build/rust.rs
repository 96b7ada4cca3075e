use std::{fs, path::Path};

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use wasm_toolchain::{TARGET, Toolchain};

use super::tools;

/// Compiles the crate with Cargo. Its name and its module.
pub(super) fn build(directory: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let manifest = directory.join("Cargo.toml");
    let name = package(&manifest)?;
    let toolchain = Toolchain::find()?;
    eprintln!("building {name} with {toolchain}");
    if toolchain.compiles_std() {
        eprintln!(
            "(the first time that takes a minute, since the standard library is compiled along)"
        );
    }
    let sources = directory
        .canonicalize()
        .with_context(|| format!("looking for {}", directory.display()))?;
    // Cargo takes relative paths from the environment (a target directory, for one) to be seen from where it is started,
    // so it is started where we are. Where its result lies, it says itself.
    let mut cargo = toolchain.build(&manifest, &sources, &name);
    cargo.arg("--message-format=json-render-diagnostics");
    let said = tools::output(&mut cargo)?;
    let module = module(&said).with_context(|| {
        format!(
            "Cargo made no .wasm file of {name}: its {} must say `crate-type = [\"cdylib\"]` under `[lib]`, or it would be \
             a library for other crates only",
            manifest.display()
        )
    })?;
    let code = fs::read(&module).with_context(|| format!("reading {module}"))?;
    Ok((name, code))
}

#[derive(Deserialize)]
struct Manifest {
    package: Option<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// The name of the crate.
fn package(manifest: &Path) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let parsed: Manifest =
        toml::from_str(&text).map_err(|error| anyhow!("{}: {error}", manifest.display()))?;
    match parsed.package {
        Some(package) => Ok(package.name),
        None => bail!(
            "{} has no [package]: name the directory of one crate",
            manifest.display()
        ),
    }
}

/// The module among the artifacts that Cargo says it made: the last one for the target, since what others depend on
/// comes first.
fn module(said: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        filenames: Vec<String>,
    }
    said.lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .flat_map(|message| message.filenames)
        .rfind(|file| file.ends_with(".wasm") && file.contains(TARGET))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_last_one_that_cargo_names() {
        let said = r#"{"reason":"compiler-artifact","filenames":["/t/wasm32-unknown-unknown/release/deps/libx.rlib"]}
{"reason":"compiler-artifact","filenames":["/t/wasm32-unknown-unknown/release/x.wasm","/t/x.rlib"]}
{"reason":"build-finished","success":true}"#;
        let found = module(said);
        assert_eq!(
            found.as_deref(),
            Some("/t/wasm32-unknown-unknown/release/x.wasm")
        );
        assert_eq!(module("{\"reason\":\"build-finished\"}\nnoise"), None);
    }

    #[test]
    fn a_workspace_without_a_crate_is_no_plugin() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("Cargo.toml");
        fs::write(&manifest, "[workspace]\n").unwrap();
        let error = package(&manifest).unwrap_err().to_string();
        assert!(error.contains("no [package]"), "{error}");
        fs::write(&manifest, "[package\n").unwrap();
        let error = package(&manifest).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
