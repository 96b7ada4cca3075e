//! The glue between a language and the contract, made by wit-bindgen as a library: for Rust when a project is begun, for
//! C when it is built. So neither needs anything but a compiler, and no network.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use wit_bindgen_core::{
    Files, WorldGenerator as _,
    wit_parser::{PackageId, Resolve, SourceMap},
};
use wit_bindgen_rust::WithOption;

use super::files;

/// The interface that all hooks share; its types live in the module `imports`.
const TYPES: &str = "picam:plugin/types@0.1.0";

/// The SDK's `bindings` module: paths below `src`, and texts. It says what the SDK's own does, with the macro's work
/// done, so that compiling it takes no macro and no dependency.
///
/// `runtime` is the path of the module that the code finds its allocator in.
pub(super) fn rust(runtime: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut modules = String::from(
        "//! What wit-bindgen made of `wit/`, one module per exported interface. Generated: not to be changed by hand.\n\n\
         #![allow(missing_docs, clippy::all, reason = \"generated: the documentation is the WIT's\")]\n\n",
    );
    let mut written = Vec::new();
    for module in rust_modules() {
        modules += &format!("pub mod {module};\n");
        let text = rust_module(module, runtime)
            .with_context(|| format!("making the bindings of `{module}`"))?;
        written.push((format!("bindings/{module}.rs"), text));
    }
    written.push(("bindings.rs".to_owned(), modules));
    Ok(written)
}

/// The modules of the SDK's `bindings.rs`.
fn rust_modules() -> impl Iterator<Item = &'static str> {
    let (_, bindings) = files::SDK
        .iter()
        .find(|(name, _)| *name == "bindings.rs")
        .expect("the SDK has bindings");
    bindings
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(" {"))
}

fn rust_module(module: &str, runtime: &str) -> anyhow::Result<String> {
    let mut resolve = contract()?;
    let imports = module == "imports";
    let world = if imports {
        "package picam:sdk; world grants { import picam:plugin/types@0.1.0; include picam:plugin/imports@0.1.0; }"
            .to_owned()
    } else {
        format!("package picam:sdk; world {module} {{ export picam:plugin/{module}@0.1.0; }}")
    };
    let package = resolve.push_str("sdk.wit", &world)?;
    let mut options = wit_bindgen_rust::Opts {
        format: true,
        runtime_path: Some(runtime.to_owned()),
        additional_derive_attributes: ["Clone", "PartialEq", "Eq"].map(String::from).into(),
        generate_all: imports,
        ..Default::default()
    };
    if !imports {
        options.pub_export_macro = true;
        options.export_macro_name = Some(format!("export_{module}"));
        options.default_bindings_module = Some(format!("picam_plugin::bindings::{module}"));
        if uses_types(&resolve, package) {
            let types = "super::imports::picam::plugin::types".to_owned();
            options
                .with
                .push((TYPES.to_owned(), WithOption::Path(types)));
        }
    }
    let world = resolve.select_world(&[package], None)?;
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, text) = files.iter().next().context("nothing was generated")?;
    Ok(String::from_utf8(text.to_vec())?)
}

/// Whether the one world of a package needs the shared types, which it then imports.
fn uses_types(resolve: &Resolve, package: PackageId) -> bool {
    resolve.packages[package]
        .worlds
        .values()
        .flat_map(|world| resolve.worlds[*world].imports.keys())
        .any(|key| resolve.name_world_key(key) == TYPES)
}

/// The contract that this host speaks.
fn contract() -> anyhow::Result<Resolve> {
    let mut sources = SourceMap::default();
    for (name, text) in files::WIT {
        sources.push_str(name, *text);
    }
    let group = sources
        .parse()
        .map_err(|(_, error)| anyhow!("the contract inside this program: {error}"))?;
    let mut resolve = Resolve::default();
    resolve.push_group(group)?;
    Ok(resolve)
}

/// A project's `wit` folder: its contract, and the world that says what its plugin exports.
pub(super) struct Project {
    resolve: Resolve,
    package: PackageId,
    /// The world's name, which is the plugin's file name.
    pub(super) world: String,
}

impl Project {
    /// Reads the folder.
    pub(super) fn read(wit: &Path) -> anyhow::Result<Self> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve
            .push_dir(wit)
            .with_context(|| format!("reading the contract in {}", wit.display()))?;
        let world = resolve
            .select_world(&[package], None)
            .with_context(|| format!("{} must hold one world", wit.display()))?;
        let world = resolve.worlds[world].name.clone();
        Ok(Self {
            resolve,
            package,
            world,
        })
    }

    /// Bindings for C: names of files, and what is in them. `WORLD.h`, `WORLD.c`, and `WORLD_component_type.o`, which
    /// says in the compiled module what it exports. In names of files `-` is `_`.
    pub(super) fn c(mut self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let world = self.resolve.select_world(&[self.package], None)?;
        let mut files = Files::default();
        wit_bindgen_c::Opts::default()
            .build()
            .generate(&mut self.resolve, world, &mut files)
            .context("making the bindings for C")?;
        Ok(files
            .iter()
            .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_out_bindings_export_what_the_sdk_asks_for() {
        let files = rust("crate::runtime").unwrap();
        let text = |name: &str| &files.iter().find(|(file, _)| file == name).unwrap().1;
        assert!(text("bindings.rs").contains("pub mod lifecycle;"));
        assert!(text("bindings/imports.rs").contains("pub mod types"));
        let playlist = text("bindings/playlist.rs");
        assert!(playlist.contains("as export_playlist;"));
        assert!(playlist.contains("super::imports::picam::plugin::types"));
        assert!(playlist.contains("crate::runtime::"));
        assert!(!playlist.contains("wit_bindgen::rt"));
    }

    #[test]
    fn a_project_has_the_bindings_of_its_own_world() {
        let folder = tempfile::tempdir().unwrap();
        let deps = folder.path().join("deps/picam-plugin");
        std::fs::create_dir_all(&deps).unwrap();
        for (name, text) in files::WIT {
            std::fs::write(deps.join(name), text).unwrap();
        }
        std::fs::write(
            folder.path().join("world.wit"),
            "package local:my-names; world my-names { export picam:plugin/naming@0.1.0; }",
        )
        .unwrap();
        let project = Project::read(folder.path()).unwrap();
        assert_eq!(project.world, "my-names");
        let files = project.c().unwrap();
        let names: Vec<_> = files.iter().map(|(name, _)| &**name).collect();
        for name in ["my_names.h", "my_names.c", "my_names_component_type.o"] {
            assert!(names.contains(&name), "{names:?}");
        }
        let header = String::from_utf8(
            files[names.iter().position(|n| n.ends_with(".h")).unwrap()]
                .1
                .clone(),
        );
        assert!(
            header
                .unwrap()
                .contains("exports_picam_plugin_naming_name(")
        );
    }
}
