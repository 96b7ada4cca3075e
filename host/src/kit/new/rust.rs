use std::path::PathBuf;

use super::{File, Hook, Name, contract, template};
use crate::kit::{bindings, files};

const BASE: &str = include_str!("../templates/rust/lib.rs");
const CARGO: &str = include_str!("../templates/rust/Cargo.toml");
const README: &str = include_str!("../templates/rust/README.md");
const SDK_CARGO: &str = include_str!("../templates/rust/sdk.toml");
const SDK_RUNTIME: &str = include_str!("../templates/rust/runtime.rs");

/// The directory of the SDK within the project.
const SDK: &str = "picam-plugin";

fn fragment(hook: Hook) -> &'static str {
    match hook {
        Hook::Playlist => include_str!("../templates/rust/playlist.rs"),
        Hook::Naming => include_str!("../templates/rust/naming.rs"),
        Hook::Auth => include_str!("../templates/rust/auth.rs"),
        Hook::Overlay => include_str!("../templates/rust/overlay.rs"),
    }
}

/// A crate, with the SDK beside it.
pub(super) fn project(name: &Name, hooks: &[Hook]) -> anyhow::Result<Vec<File>> {
    let fragments: Vec<_> = hooks.iter().map(|hook| (*hook, fragment(*hook))).collect();
    let mut project: Vec<File> = vec![
        ("Cargo.toml".into(), template::named(CARGO, name)),
        ("README.md".into(), template::named(README, name)),
        (".gitignore".into(), "/target\n".to_owned()),
        ("src/lib.rs".into(), template::fill(BASE, &fragments, name)),
    ];
    project.extend(contract("wit"));
    project.extend(sdk()?);
    Ok(project)
}

/// The SDK as a crate without dependencies.
fn sdk() -> anyhow::Result<Vec<File>> {
    let below = |path: &str| PathBuf::from(SDK).join(path);
    let version = env!("CARGO_PKG_VERSION");
    let mut sdk: Vec<File> = vec![
        (
            below("Cargo.toml"),
            SDK_CARGO.replace("SDK-VERSION", version),
        ),
        (below("src/runtime.rs"), SDK_RUNTIME.to_owned()),
    ];
    for (path, text) in files::SDK {
        match *path {
            "bindings.rs" => {}
            "lib.rs" => {
                let text = text.replace("pub mod bindings;", "pub mod bindings;\nmod runtime;");
                sdk.push((below("src/lib.rs"), text));
            }
            path => sdk.push((below("src").join(path), (*text).to_owned())),
        }
    }
    for (path, text) in bindings::rust("crate::runtime")? {
        sdk.push((below("src").join(path), text));
    }
    Ok(sdk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_holds_all_that_it_is_compiled_from() {
        let name = "my-plugin".parse().unwrap();
        let project = project(&name, &[Hook::Playlist, Hook::Auth]).unwrap();
        let text = |path: &str| {
            let file = project
                .iter()
                .find(|(file, _)| file == std::path::Path::new(path));
            &file.unwrap_or_else(|| panic!("{path}")).1
        };
        let lib = text("src/lib.rs");
        assert!(lib.contains("export!(MyPlugin: playlist, auth);"), "{lib}");
        assert!(!lib.contains("front"), "{lib}");
        assert!(!lib.contains("//+") && !lib.contains("//-"), "{lib}");
        assert!(text("picam-plugin/src/lib.rs").contains("mod runtime;"));
        assert!(!text("picam-plugin/Cargo.toml").contains("[dependencies]"));
        assert!(!text("picam-plugin/src/bindings/playlist.rs").contains("wit_bindgen::rt"));
        text("wit/playlist.wit");
    }
}
