use anyhow::{Context as _, anyhow, bail};
use wasmparser::{Parser, Payload, Validator};

use super::{Grants, hook::Hook, suggest::list, weight};

/// The package whose interfaces make up the contract, and the version that this host speaks.
const PACKAGE: &str = "picam:plugin/";
const VERSION: &str = "0.1";
/// What a plugin may import. `types` holds no function, and comes along with every hook.
const IMPORTS: [&str; 6] = ["log", "clock", "random", "kv", "metrics", "types"];

/// What can be seen of a component without compiling it: the names at its outer wall.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// Names of what it imports, with version.
    imports: Vec<String>,
    /// Names of what it exports, with version.
    exports: Vec<String>,
}

/// Makes sure that `bytes` are a component: what compilers write is often the core module that it is made from.
///
/// Only binary WebAssembly passes: no text, and no compiled code, which would run with the host's own rights.
pub fn component(bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if Parser::is_component(&bytes) {
        return Ok(bytes);
    }
    if Parser::is_core_wasm(&bytes) {
        return from_core_module(&bytes);
    }
    if bytes.is_empty() {
        bail!("it is empty; if it was being written, try again when that is done");
    }
    if bytes.starts_with(b"\x7fELF") {
        bail!(
            "it is compiled code, which is never taken from outside; give the .wasm file that it was compiled from"
        );
    }
    if bytes.trim_ascii_start().starts_with(b"(") {
        bail!("it is WebAssembly text; turn it into a component first, with `wasm-tools parse`");
    }
    bail!("it is not WebAssembly: it doesn't begin with `\\0asm`");
}

fn from_core_module(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    weight::check(module)?;
    // wit-component takes for granted that a module is whole: a truncated one made it panic.
    Validator::new()
        .validate_all(module)
        .context("it is a damaged core module")?;
    // And should it trip over something else, that is this file's fault, and no reason for a stream to end.
    let encoded = std::panic::catch_unwind(|| {
        wit_component::ComponentEncoder::default()
            .validate(true)
            .module(module)
            .and_then(|encoder| encoder.encode())
    });
    match encoded {
        Ok(result) => result,
        Err(_) => Err(anyhow!("what it says of its interfaces makes no sense")),
    }
    .context(
        "it is a core module, and can't be made a component; build it with the plugin SDK, or with wit-bindgen against \
         this host's wit/ directory",
    )
}

impl Shape {
    /// Reads the names of imports and exports.
    pub(super) fn of(component: &[u8]) -> anyhow::Result<Self> {
        let mut shape = Self::default();
        // Components and modules nest; depth 1 is the outermost one.
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(component) {
            match payload.context("it is damaged")? {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        let import = import.context("it is damaged")?;
                        shape.imports.push(import.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        let export = export.context("it is damaged")?;
                        shape.exports.push(export.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(shape)
    }

    /// The interfaces of the contract that it imports, as in `clock`.
    pub(super) fn imports(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().filter_map(|name| match contract(name) {
            Contract::Ours(interface) => Some(interface),
            _ => None,
        })
    }

    /// The interfaces of the contract that it exports, as in `auth`.
    pub(super) fn exports(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().filter_map(|name| match contract(name) {
            Contract::Ours(interface) => Some(interface),
            _ => None,
        })
    }

    /// What it must be granted before all that it imports works.
    pub(super) fn grants(&self) -> impl Iterator<Item = &'static str> {
        Grants::NAMES
            .into_iter()
            .filter(|grant| self.imports().any(|import| import == *grant))
    }

    /// Everything that it imports, by its full name.
    pub(super) fn all_imports(&self) -> &[String] {
        &self.imports
    }

    /// Refuses what this host can't run, with the reason and the way out.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for import in &self.imports {
            check_import(import)?;
        }
        let mut ours = Vec::new();
        for export in &self.exports {
            match contract(export) {
                Contract::Ours(interface) => ours.push(interface),
                Contract::OtherVersion(version) => bail!(
                    "it exports `{export}`, of version {version} of the plugin contract; this host speaks \
                     {VERSION}: use a plugin built for it, or a host of that version"
                ),
                // More exports than we know do no harm: the contract grows by new interfaces.
                Contract::Foreign => {}
            }
        }
        if !ours.contains(&"lifecycle") {
            bail!(
                "it is a component, but no plugin: it doesn't export `{PACKAGE}lifecycle@{VERSION}.0`, and exports {}",
                list(self.exports.iter().map(String::as_str))
            );
        }
        if !Hook::ALL.iter().any(|hook| ours.contains(&hook.name())) {
            bail!(
                "it exports no hook, so that it would be without effect. The hooks are {}; export one or several, as in \
                 `{PACKAGE}playlist@{VERSION}.0`",
                list(Hook::ALL.map(Hook::name))
            );
        }
        Ok(())
    }
}

fn check_import(import: &str) -> anyhow::Result<()> {
    match contract(import) {
        Contract::Ours(interface) if IMPORTS.contains(&interface) => Ok(()),
        Contract::OtherVersion(version) => bail!(
            "it imports `{import}`, of version {version} of the plugin contract; this host speaks {VERSION}: use a \
             plugin built for it, or a host of that version"
        ),
        _ if import.starts_with("wasi:") || import.starts_with("wasi_snapshot") => bail!(
            "it imports `{import}`, and there is no WASI for plugins: no files, no sockets, no environment. Rust: \
             build for wasm32-unknown-unknown; C: link nothing that does input or output; JavaScript: componentize \
             with disableFeatures [\"random\", \"stdio\", \"clocks\", \"http\", \"fetch-event\"]; Python: \
             componentize-py with --stub-wasi"
        ),
        _ => bail!(
            "it imports `{import}`, which no plugin may; of `{PACKAGE}…@{VERSION}.x` it may import {}",
            list(IMPORTS)
        ),
    }
}

enum Contract<'a> {
    /// An interface of the contract, by its short name.
    Ours(&'a str),
    /// An interface of an incompatible version of the contract.
    OtherVersion(&'a str),
    Foreign,
}

fn contract(name: &str) -> Contract<'_> {
    let Some((interface, version)) = name
        .strip_prefix(PACKAGE)
        .and_then(|rest| rest.split_once('@'))
    else {
        return Contract::Foreign;
    };
    let compatible = version
        .strip_prefix(VERSION)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if compatible {
        Contract::Ours(interface)
    } else {
        Contract::OtherVersion(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(imports: &[&str], exports: &[&str]) -> String {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let shape = Shape {
            imports: owned(imports),
            exports: owned(exports),
        };
        shape.check().unwrap_err().to_string()
    }

    const LIFECYCLE: &str = "picam:plugin/lifecycle@0.1.0";
    const PLAYLIST: &str = "picam:plugin/playlist@0.1.7";

    #[test]
    fn only_the_contract_may_be_imported_and_the_import_is_named() {
        let error = refusal(&["wasi:cli/environment@0.2.3"], &[LIFECYCLE, PLAYLIST]);
        assert!(error.contains("`wasi:cli/environment@0.2.3`"), "{error}");
        assert!(error.contains("wasm32-unknown-unknown"), "{error}");
        let error = refusal(&["acme:db/sql"], &[LIFECYCLE, PLAYLIST]);
        assert!(error.contains("`acme:db/sql`") && error.contains("`clock`"));
        let error = refusal(&["picam:plugin/net@0.1.0"], &[LIFECYCLE, PLAYLIST]);
        assert!(error.contains("`picam:plugin/net@0.1.0`"), "{error}");
    }

    #[test]
    fn another_version_of_the_contract_is_told_apart_from_no_plugin_at_all() {
        let error = refusal(&[], &["picam:plugin/lifecycle@0.2.0"]);
        assert!(error.contains("version 0.2.0"), "{error}");
        let error = refusal(&[], &["run"]);
        assert!(
            error.contains("no plugin") && error.contains("`run`"),
            "{error}"
        );
    }

    #[test]
    fn a_plugin_without_a_hook_is_told_which_there_are() {
        for exports in [&[LIFECYCLE][..], &[LIFECYCLE, "picam:plugin/state@0.1.0"]] {
            let error = refusal(&[], exports);
            assert!(error.contains("without effect"), "{error}");
            assert!(
                error.contains("`playlist`, `naming`, `auth` and `overlay`"),
                "{error}"
            );
        }
    }

    #[test]
    fn any_hook_alone_makes_a_plugin() {
        for hook in Hook::ALL {
            let shape = Shape {
                imports: vec![],
                exports: vec![
                    LIFECYCLE.into(),
                    format!("picam:plugin/{}@0.1.0", hook.name()),
                ],
            };
            shape.check().unwrap();
        }
    }

    #[test]
    fn a_later_patch_of_the_contract_passes() {
        let shape = Shape {
            imports: vec![
                "picam:plugin/log@0.1.4".into(),
                "picam:plugin/types@0.1.4".into(),
            ],
            exports: vec![LIFECYCLE.into(), PLAYLIST.into(), "acme:extra/thing".into()],
        };
        shape.check().unwrap();
    }

    #[test]
    fn what_is_no_component_is_told_what_it_is() {
        let error = |bytes: &[u8]| component(bytes.to_vec()).unwrap_err().to_string();
        assert!(error(b"").contains("empty"));
        assert!(error(b"\x7fELF....").contains("compiled code"));
        assert!(error(b" (component)").contains("text"));
        assert!(error(b"#!/bin/sh").contains("not WebAssembly"));
        assert!(error(b"\0asm\x01\0\0\0\x01").contains("damaged"));
    }
}
