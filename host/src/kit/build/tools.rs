//! Programs of other people.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// Runs a program whose messages the person at the terminal is to see. What it writes to standard output.
pub(super) fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {name}"))?;
    ensure!(
        output.status.success(),
        "{name} failed ({}); what is wrong stands above",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The program of this name on the path.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    find_in(name, env::split_paths(&env::var_os("PATH")?))
}

fn find_in(name: &str, folders: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

/// Whether this is a file that may be executed.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn only_what_can_be_executed_is_a_program() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = || folders.iter().map(|folder| folder.path().to_owned());
        for (folder, mode) in folders.iter().zip([0o644, 0o755]) {
            let file = folder.path().join("tool");
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(
            find_in("tool", paths()),
            Some(folders[1].path().join("tool"))
        );
        assert_eq!(find_in("other", paths()), None);
    }

    #[test]
    fn a_program_that_fails_is_named() {
        let error = output(&mut Command::new("false")).unwrap_err().to_string();
        assert!(error.starts_with("false failed"), "{error}");
    }
}
