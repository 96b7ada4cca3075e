//! The Debian packages that a command needs: found out by `dpkg-query`, installed by `apt-get`.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// What it takes to build the host.
pub fn build() -> Vec<&'static str> {
    // The bindings to V4L2 are made from the kernel's headers by libclang; the encoder is C++.
    let mut packages = vec!["g++", "libclang-dev", "linux-libc-dev"];
    if cfg!(target_arch = "x86_64") {
        // The encoder's fast paths. Those for ARM need no assembler of their own.
        packages.push("nasm");
    }
    packages
}

/// What it takes to run every test, besides what it takes to build.
pub fn test() -> Vec<&'static str> {
    let mut packages = build();
    packages.extend([
        "apache2",
        "chromium",
        "clang",
        "curl",
        "ffmpeg",
        "gstreamer1.0-libav",
        "gstreamer1.0-plugins-bad",
        "gstreamer1.0-plugins-base",
        "gstreamer1.0-plugins-good",
        "gstreamer1.0-tools",
        // Reads /metrics as Prometheus does.
        "python3-prometheus-client",
        "libclang-rt-dev-wasm32",
        "lld",
        "mpv",
        "nginx",
        "python3-venv",
        // Hands sockets over, for a test of services.
        "systemd",
        "vlc-bin",
        "vlc-plugin-base",
        "wasi-libc",
    ]);
    if Command::new("npm").arg("--version").output().is_err() {
        packages.extend(["nodejs", "npm"]);
    }
    if !compiles_to_wasm() {
        packages.extend([
            "rustc-web",
            "cargo-web",
            "rust-web-src",
            "libstd-rust-web-dev",
        ]);
    }
    packages
}

/// What it takes to run the tests in the virtual machine.
pub fn machine() -> Vec<&'static str> {
    vec![
        "busybox-static",
        "cpio",
        "kmod",
        "linux-headers-amd64",
        "linux-image-amd64",
        "qemu-system-x86",
        "v4l-utils",
        "v4l2loopback-dkms",
    ]
}

/// Whether the Rust that is here brings what plugins are compiled with, as after `rustup target add`.
fn compiles_to_wasm() -> bool {
    let asked = Command::new("rustc")
        .args([
            "--print",
            "target-libdir",
            "--target",
            "wasm32-unknown-unknown",
        ])
        .output();
    asked.is_ok_and(|output| {
        let directory = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success()
            && std::fs::read_dir(directory).is_ok_and(|mut files| files.next().is_some())
    })
}

/// Sees to it that the packages are installed.
///
/// As root it installs those that are missing. Otherwise it fails with the line that does.
pub fn ensure_installed(wanted: &[&str]) -> Result<()> {
    let Some(missing) = missing(wanted)? else {
        eprintln!(
            "This is no Debian, so whether all is here shows as it is used. On Debian it would be:\n  {}",
            wanted.join(" ")
        );
        return Ok(());
    };
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !is_root()? {
        bail!(
            "some Debian packages are missing. This installs them; then start again:\n\n  sudo apt-get update && sudo \
             apt-get install --no-install-recommends {names}\n"
        );
    }
    println!("Installing the Debian packages that are missing: {names}");
    let _quiet = NoServices::ask()?;
    apt(&["update"])?;
    apt(&[
        &["install", "--yes", "--no-install-recommends"],
        &missing[..],
    ]
    .concat())
    .with_context(|| format!("installing {names}"))
}

/// Those that are not installed; nothing where there is no `dpkg-query` to ask.
fn missing<'a>(wanted: &[&'a str]) -> Result<Option<Vec<&'a str>>> {
    let asked = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status} ${Package}\n"])
        .args(wanted)
        .output();
    let output = match asked {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        output => output.context("starting dpkg-query")?,
    };
    // It fails when one of them is unknown, and has answered for the others all the same.
    Ok(Some(absent(
        wanted,
        &String::from_utf8_lossy(&output.stdout),
    )))
}

fn absent<'a>(wanted: &[&'a str], listing: &str) -> Vec<&'a str> {
    let installed: Vec<_> = listing
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .collect();
    wanted
        .iter()
        .copied()
        .filter(|name| !installed.contains(name))
        .collect()
}

/// While this lives, packages that are installed don't start services of theirs: nobody asked for two web servers.
struct NoServices(Option<&'static Path>);

impl NoServices {
    /// As `invoke-rc.d` asks (its manual page, and /usr/share/doc/init-system-helpers).
    fn ask() -> Result<Self> {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        // Whoever has one has decided already.
        if policy.exists() {
            return Ok(Self(None));
        }
        let forbidden = "#!/bin/sh\nexit 101\n";
        fs::write(policy, forbidden)
            .and_then(|()| fs::set_permissions(policy, Permissions::from_mode(0o755)))
            .with_context(|| format!("writing {}", policy.display()))?;
        Ok(Self(Some(policy)))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = self.0
            && let Err(error) = fs::remove_file(policy)
        {
            eprintln!(
                "{} stays, and keeps services from starting: {error}",
                policy.display()
            );
        }
    }
}

fn is_root() -> Result<bool> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .context("starting id")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn apt(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        // A machine that has just started may still be installing its own updates.
        .args([
            "--quiet=2",
            "--option=DPkg::Lock::Timeout=300",
            "--option=Dpkg::Use-Pty=0",
        ])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .context("starting apt-get")?;
    ensure!(
        status.success(),
        "apt-get {} failed ({status})",
        arguments.join(" ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_counts_as_there() {
        let listing = "installed ffmpeg\nconfig-files nasm\nnot-installed cpio\n";
        assert_eq!(
            absent(&["ffmpeg", "nasm", "cpio", "kmod"], listing),
            ["nasm", "cpio", "kmod"]
        );
        assert!(absent(&["ffmpeg"], listing).is_empty());
    }

    #[test]
    fn no_package_is_asked_for_twice() {
        let mut all = [test(), machine()].concat();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
