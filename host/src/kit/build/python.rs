use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use super::tools;
use crate::kit::bindings;

const TOOL: &str = "componentize-py";

/// Puts `plugin.py` and Python into a component. The world's name and the component.
pub(super) fn build(directory: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let world = bindings::Project::read(&directory.join("wit"))?.world;
    let tool = tool(directory)?;
    let target = super::Scratch::new("py")?;
    let mut command = Command::new(tool);
    command
        .args(["--wit-path", "wit", "--world", &world])
        // Python's own library knows files and clocks; a plugin gets none, and the stubs fail when they are called.
        .args(["componentize", "--stub-wasi", "plugin", "--output"])
        .arg(&target.0)
        .current_dir(directory);
    tools::output(&mut command)?;
    let component =
        std::fs::read(&target.0).context("reading the component that componentize-py made")?;
    Ok((world, component))
}

/// componentize-py: that of the project, else that of the system.
fn tool(directory: &Path) -> anyhow::Result<PathBuf> {
    let own = directory.join(".venv/bin").join(TOOL);
    if tools::is_program(&own) {
        // The program is started in the project's directory.
        return own
            .canonicalize()
            .with_context(|| format!("looking for {}", own.display()));
    }
    match tools::find(TOOL) {
        Some(tool) => Ok(tool),
        None => bail!(
            "what makes components of Python is not installed: run `python3 -m venv .venv && .venv/bin/pip install \
             componentize-py==0.25.1` in {}",
            super::shown(directory)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_own_tool_comes_first() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(".venv/bin").join(TOOL);
        std::fs::create_dir_all(own.parent().unwrap()).unwrap();
        std::fs::write(&own, "").unwrap();
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(tool(folder.path()).unwrap(), own.canonicalize().unwrap());
    }
}
