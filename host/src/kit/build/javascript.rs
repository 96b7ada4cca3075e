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

/// What makes components of JavaScript, as a package.
const PACKAGE: &str = "node_modules/@bytecodealliance/componentize-js";

/// Puts `plugin.js` and a JavaScript engine into a component. The world's name and the component.
pub(super) fn build(directory: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let world = bindings::Project::read(&directory.join("wit"))?.world;
    let Some(node) = tools::find("node") else {
        bail!(
            "there is no `node`, which JavaScript plugins are made with: install Node.js 20 or newer, on Debian \
             `sudo apt-get install nodejs npm`, elsewhere from https://nodejs.org"
        );
    };
    if !directory.join(PACKAGE).is_dir() {
        bail!(
            "what makes components of JavaScript is not installed: run `npm install` in {}",
            super::shown(directory)
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
