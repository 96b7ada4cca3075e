use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use super::tools;
use crate::kit::bindings;

const TARGET: &str = "--target=wasm32-wasi";
/// A library of functions, not a program with a `main`.
const LIBRARY: &str = "-mexec-model=reactor";

/// What a C compiler needs for plugins, and how to get it.
const NEEDED: &str = "C plugins are compiled with clang, which needs a linker and a C library for WebAssembly. On Debian: \
     `apt-get install --no-install-recommends clang lld wasi-libc libclang-rt-dev-wasm32`. Elsewhere: unpack wasi-sdk (https://github.com/WebAssembly/wasi-sdk/releases) and set \
     WASI_SDK_PATH to where it lies";

/// Makes the bindings, and compiles them with all `.c` files of the directory. The world's name and the module.
pub(super) fn build(directory: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let project = bindings::Project::read(&directory.join("wit"))?;
    let world = project.world.clone();
    let made = directory.join("build");
    fs::create_dir_all(&made).with_context(|| format!("making {}", made.display()))?;
    let mut bindings = Vec::new();
    for (name, bytes) in project.c()? {
        let path = made.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
        if path.extension().is_none_or(|extension| extension != "h") {
            bindings.push(path);
        }
    }

    let clang = clang()?;
    let module = made.join("module.wasm");
    let mut command = Command::new(clang);
    command
        .args([TARGET, LIBRARY, "-O2", "-Wall", "-I"])
        .arg(&made)
        .args(sources(directory)?)
        .args(bindings)
        .arg("-o")
        .arg(&module);
    tools::output(&mut command)?;
    let code = fs::read(&module).with_context(|| format!("reading {}", module.display()))?;
    Ok((world, code))
}

/// The `.c` files of a directory.
fn sources(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listing = || format!("listing {}", directory.display());
    let mut sources = Vec::new();
    for entry in fs::read_dir(directory).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// A clang that makes WebAssembly: that of wasi-sdk if there is one, else the system's.
fn clang() -> anyhow::Result<PathBuf> {
    let clang = match env::var_os("WASI_SDK_PATH") {
        Some(sdk) => {
            let clang = Path::new(&sdk).join("bin/clang");
            if !tools::is_program(&clang) {
                bail!(
                    "WASI_SDK_PATH is set, but there is no {}. {NEEDED}",
                    clang.display()
                );
            }
            clang
        }
        None => match tools::find("clang") {
            Some(clang) => clang,
            None => bail!("there is no clang. {NEEDED}"),
        },
    };
    if let Err(why) = links(&clang) {
        bail!(
            "{} can't make WebAssembly: {why}. {NEEDED}",
            clang.display()
        );
    }
    Ok(clang)
}

/// Links nothing but the C library, which tells whether all the parts are there; else the compiler's first complaint.
fn links(clang: &Path) -> Result<(), String> {
    let output = Command::new(clang)
        .args([
            TARGET,
            LIBRARY,
            "-include",
            "stdlib.h",
            "-x",
            "c",
            "/dev/null",
            "-o",
            "/dev/null",
        ])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().find(|line| line.contains("error"));
    Err(first
        .unwrap_or("it fails without saying why")
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_compiler_without_the_c_library_is_told_what_it_said_and_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let clang = folder.path().join("clang");
        let script = "#!/bin/sh\necho \"fatal error: 'stdlib.h' file not found\" >&2\nexit 1\n";
        fs::write(&clang, script).unwrap();
        fs::set_permissions(&clang, fs::Permissions::from_mode(0o755)).unwrap();
        let error = links(&clang).unwrap_err();
        assert!(error.contains("'stdlib.h' file not found"), "{error}");
    }

    #[test]
    fn all_c_files_of_the_directory_belong_to_the_plugin() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["plugin.c", "more.c", "more.h", "README.md"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let found = sources(folder.path()).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, ["more.c", "plugin.c"]);
    }
}
