use std::{path::Path, process::Command};

use anyhow::{Context as _, bail};

use super::tools;
use crate::kit::bindings;

/// Run by Node in the project's directory, so that the project's own packages are found.
const DRIVER: &str = r#"
import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";
const [world, target] = process.argv.slice(1);
const { component } = await componentize({
  sourcePath: "plugin.js",
  witPath: "wit",
  worldName: world,
  disableFeatures: ["random", "stdio", "clocks", "http", "fetch-event"],
});
await writeFile(target, component);
"#;

/// What makes components of JavaScript, as packages. The first needs the second without saying so: unless a project names
/// both, the next `npm install` takes the second away.
const PACKAGES: [&str; 2] = ["componentize-js", "preview2-shim"];

/// Puts `plugin.js` and a JavaScript engine into a component. The world's name and the component.
pub(super) fn build(directory: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let world = bindings::Project::read(&directory.join("wit"))?.world;
    let Some(node) = tools::find("node") else {
        bail!(
            "there is no `node`, which JavaScript plugins are made with: install Node.js 20 or newer, on Debian \
             `sudo apt-get install nodejs npm`, elsewhere from https://nodejs.org"
        );
    };
    let packages = directory.join("node_modules/@bytecodealliance");
    if let Some(missing) = PACKAGES.iter().find(|name| !packages.join(name).is_dir()) {
        bail!(
            "what makes components of JavaScript is not installed (@bytecodealliance/{missing}): run `npm install` in {}; \
             its package.json must name {}",
            super::shown(directory),
            PACKAGES
                .map(|name| format!("@bytecodealliance/{name}"))
                .join(" and ")
        );
    }
    let target = super::Scratch::new("js")?;
    let mut command = Command::new(node);
    command
        .args(["--input-type=module", "--eval", DRIVER, "--", &world])
        .arg(&target.0)
        .current_dir(directory);
    tools::output(&mut command)?;
    let component = std::fs::read(&target.0).context("reading the component that Node.js made")?;
    Ok((world, component))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::files;

    #[test]
    fn a_package_that_is_missing_is_named_with_what_installs_it() {
        if tools::find("node").is_none() {
            // Then that is what is told first.
            return;
        }
        let project = tempfile::tempdir().unwrap();
        let deps = project.path().join("wit/deps/picam-plugin");
        std::fs::create_dir_all(&deps).unwrap();
        for (name, text) in files::WIT {
            std::fs::write(deps.join(name), text).unwrap();
        }
        let world = "package local:project; world w { export picam:plugin/naming@0.1.0; }";
        std::fs::write(project.path().join("wit/world.wit"), world).unwrap();
        let installed = project
            .path()
            .join("node_modules/@bytecodealliance/componentize-js");
        std::fs::create_dir_all(installed).unwrap();
        let error = build(project.path()).unwrap_err().to_string();
        assert!(
            error.contains("(@bytecodealliance/preview2-shim)"),
            "{error}"
        );
        assert!(error.contains("`npm install`"), "{error}");
    }
}
