//! Where things are, and how Cargo is called.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The repository.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_owned()
}

/// Cargo's target directory, the only one that is used.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// The Cargo that runs us, in the repository.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The plugins are a workspace of their own; one target directory still serves for all.
pub fn plugins_workspace() -> [std::ffi::OsString; 4] {
    [
        "--manifest-path".into(),
        "plugins/Cargo.toml".into(),
        "--target-dir".into(),
        target().join("plugins").into(),
    ]
}

/// The command as it could be typed.
pub fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| {
            let word = Path::new(word);
            // The path of the cargo that runs us helps nobody.
            let short = word.file_name().filter(|name| *name == "cargo");
            short.unwrap_or(word.as_os_str()).to_string_lossy()
        })
        .collect::<Vec<_>>()
        .join(" ")
}
