use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};
use cpio::newc::{Builder, ModeFileType, trailer};

use super::PACKAGES;

/// The first line that the guest's shell sends.
pub(super) const GREETING: &str = "ready";

/// Modules that the machine itself needs, for the shell's port and the network.
const OWN_MODULES: [&str; 3] = ["virtio_pci", "virtio_console", "virtio_net"];

/// Process 1. `load NAME [PARAMETER=VALUE]…` inserts a module of the image after those it depends on.
const INIT: &str = r#"#!/bin/sh
export PATH=/bin HOME=/tmp
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
exec >/dev/ttyS0 2>&1 </dev/null
# A program with real-time priority may use all of the processor.
echo -1 >/proc/sys/kernel/sched_rt_runtime_us
load virtio_pci && load virtio_console && load virtio_net || poweroff -f
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
until [ -e /dev/vport0p1 ] || [ -e /dev/vport1p1 ]; do sleep 0.1; done
port=$(ls /dev/vport*p1)
# It ends when the other end is closed.
{ echo ready; sh; } <>"$port" >&0
echo "the shell has ended"
poweroff -f
"#;

const LOAD: &str = r#"#!/bin/sh
name=$1
shift
for module in $(cat "/modules/$name"); do
    # Those it depends on may be there already, or built in.
    own=$(basename "$module" .ko)
    if [ "$own" = "$name" ]; then
        insmod "$module" "$@" || exit 1
    elif ! grep -q "^$(echo "$own" | tr - _) " /proc/modules; then
        insmod "$module" || exit 1
    fi
done
"#;

/// What a machine boots from: a kernel of this system and an initramfs.
#[derive(Debug)]
pub struct Image {
    version: String,
    /// By path in the guest, without the leading slash.
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Copy { of: PathBuf, executable: bool },
    Bytes { bytes: Vec<u8>, executable: bool },
    Link(String),
}

impl Image {
    /// An image with busybox, the newest kernel of this system that has all of `modules`, and these.
    pub fn new(modules: &[&str]) -> anyhow::Result<Self> {
        let version = kernel(modules)?;
        let mut image = Self {
            version,
            entries: BTreeMap::new(),
        };
        image.executable("init", INIT);
        image.executable("bin/load", LOAD);
        image.busybox()?;
        for module in OWN_MODULES.iter().chain(modules) {
            image.module(module)?;
        }
        Ok(image)
    }

    /// Adds a program as `/bin/NAME`, with the libraries that it is linked with, where the linker finds them.
    pub fn program(mut self, name: &str, path: &Path) -> anyhow::Result<Self> {
        let output = Command::new("ldd")
            .arg(path)
            .output()
            .context("running ldd")?;
        let text = String::from_utf8_lossy(&output.stdout);
        for library in libraries(&text)? {
            self.copy(library.trim_start_matches('/'), Path::new(&library), true);
        }
        self.copy(&format!("bin/{name}"), path, true);
        Ok(self)
    }

    /// Adds a program as [`program`](Self::program) does, without its debugging information, most of its size.
    pub fn stripped(self, name: &str, path: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("making a directory for strip")?;
        let stripped = directory.path().join(name);
        let status = Command::new("strip")
            .arg("-o")
            .args([&stripped, path])
            .status()
            .context("running strip (package binutils)")?;
        ensure!(status.success(), "strip fails with {}", path.display());
        let mut image = self.program(name, &stripped)?;
        // The file is gone when the image is written.
        let bytes = fs::read(&stripped).context("reading what strip left")?;
        let entry = Entry::Bytes {
            bytes,
            executable: true,
        };
        image.entries.insert(format!("bin/{name}"), entry);
        Ok(image)
    }

    /// Adds a program of this system, found as the shell finds it.
    pub fn tool(self, name: &str) -> anyhow::Result<Self> {
        let path = which(name).with_context(|| format!("{name} is not installed"))?;
        self.program(name, &path)
    }

    /// Adds a file; `path` is where it lies in the guest.
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.entries.insert(
            path.trim_start_matches('/').to_owned(),
            Entry::Bytes {
                bytes,
                executable: false,
            },
        );
        self
    }

    pub(super) fn kernel(&self) -> PathBuf {
        format!("/boot/vmlinuz-{}", self.version).into()
    }

    /// Writes the initramfs.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let describe = || format!("writing {}", path.display());
        let file = File::create(path).with_context(describe)?;
        let mut to = BufWriter::new(file);
        for directory in self.directories() {
            let builder = Builder::new(&directory)
                .mode(0o755)
                .set_mode_file_type(ModeFileType::Directory);
            builder.write(&mut to, 0).finish().with_context(describe)?;
        }
        for (name, entry) in &self.entries {
            let builder = Builder::new(name);
            match entry {
                Entry::Copy { of, executable } => {
                    let mut from =
                        File::open(of).with_context(|| format!("reading {}", of.display()))?;
                    let length = u32::try_from(from.metadata()?.len())
                        .with_context(|| format!("{} is too large", of.display()))?;
                    let builder = builder
                        .mode(mode(*executable))
                        .set_mode_file_type(ModeFileType::Regular);
                    let mut writer = builder.write(&mut to, length);
                    io::copy(&mut from, &mut writer).with_context(describe)?;
                    writer.finish().with_context(describe)?;
                }
                Entry::Bytes { bytes, executable } => {
                    let builder = builder
                        .mode(mode(*executable))
                        .set_mode_file_type(ModeFileType::Regular);
                    whole(builder, bytes, &mut to).with_context(describe)?;
                }
                Entry::Link(target) => {
                    let builder = builder
                        .mode(0o777)
                        .set_mode_file_type(ModeFileType::Symlink);
                    whole(builder, target.as_bytes(), &mut to).with_context(describe)?;
                }
            }
        }
        trailer(&mut to).with_context(describe)?;
        to.flush().with_context(describe)
    }

    /// Every directory that an entry lies in, and those to mount on; parents first.
    fn directories(&self) -> BTreeSet<String> {
        let mut directories: BTreeSet<String> =
            ["dev", "proc", "sys", "tmp"].map(String::from).into();
        for name in self.entries.keys() {
            for (at, _) in name.match_indices('/') {
                directories.insert(name[..at].to_owned());
            }
        }
        directories
    }

    fn executable(&mut self, path: &str, text: &str) {
        self.entries.insert(
            path.to_owned(),
            Entry::Bytes {
                bytes: text.into(),
                executable: true,
            },
        );
    }

    fn copy(&mut self, path: &str, of: &Path, executable: bool) {
        self.entries.insert(
            path.to_owned(),
            Entry::Copy {
                of: of.to_owned(),
                executable,
            },
        );
    }

    fn busybox(&mut self) -> anyhow::Result<()> {
        let path =
            which("busybox").with_context(|| format!("busybox is not installed: {}", install()))?;
        let output = Command::new(&path)
            .arg("--list")
            .output()
            .context("running busybox")?;
        self.copy("bin/busybox", &path, true);
        for applet in String::from_utf8_lossy(&output.stdout).lines() {
            // Busybox is one of them.
            self.entries
                .entry(format!("bin/{applet}"))
                .or_insert_with(|| Entry::Link("busybox".into()));
        }
        Ok(())
    }

    /// Adds a module with those that it depends on, and the list that `load` reads.
    fn module(&mut self, name: &str) -> anyhow::Result<()> {
        let mut list = String::new();
        for path in dependencies(&self.version, name)? {
            let file = path.file_name().and_then(|name| name.to_str());
            let file = file.context("a module without a name")?;
            // Later kernels compress them; the guest's insmod takes them as they are in memory.
            ensure!(
                file.ends_with(".ko"),
                "{} is compressed: only kernels with plain modules are supported",
                path.display()
            );
            let guest = format!("modules/files/{file}");
            self.copy(&guest, &path, false);
            list += &format!("/{guest}\n");
        }
        self.entries.insert(
            format!("modules/{name}"),
            Entry::Bytes {
                bytes: list.into(),
                executable: false,
            },
        );
        Ok(())
    }
}

fn whole(builder: Builder, bytes: &[u8], to: &mut impl Write) -> anyhow::Result<()> {
    let mut writer = builder.write(to, u32::try_from(bytes.len())?);
    writer.write_all(bytes)?;
    writer.finish()?;
    Ok(())
}

fn mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

fn install() -> String {
    format!("apt-get install --no-install-recommends {PACKAGES}")
}

/// The version of the newest kernel that has the modules.
fn kernel(modules: &[&str]) -> anyhow::Result<String> {
    let mut versions: Vec<String> = fs::read_dir("/lib/modules")
        .with_context(|| format!("no kernel is installed: {}", install()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|version| Path::new(&format!("/boot/vmlinuz-{version}")).exists())
        .collect();
    versions.sort_by_key(|version| numbers(version));
    let mut missing = format!("no kernel is installed: {}", install());
    for version in versions.into_iter().rev() {
        let lacks = modules
            .iter()
            .find(|module| dependencies(&version, module).is_err());
        match lacks {
            None => return Ok(version),
            Some(module) => {
                missing = format!("kernel {version} has no module {module}: {}", install());
            }
        }
    }
    bail!(missing)
}

/// The numbers in a version, for order: 6.1.0-56 comes after 6.1.0-9.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// The files of a module and of those it depends on, in the order to insert them.
fn dependencies(version: &str, module: &str) -> anyhow::Result<Vec<PathBuf>> {
    let modprobe = which("modprobe").context("modprobe is not installed (package kmod)")?;
    let output = Command::new(modprobe)
        .args(["-S", version, "--show-depends", module])
        .output()
        .context("running modprobe")?;
    ensure!(
        output.status.success(),
        "modprobe: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    // `insmod PATH [PARAMETERS]`, or `builtin NAME`.
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("insmod "))
        .filter_map(|rest| rest.split_whitespace().next())
        .map(PathBuf::from)
        .collect())
}

/// Where a program lies; the directories of administrators are looked at too, whoever runs the test.
fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// The files in ldd's output; none for a program that is linked statically.
fn libraries(ldd: &str) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    for line in ldd.lines() {
        ensure!(!line.contains("not found"), "a library is missing: {line}");
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`, or the vDSO.
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        paths.extend(path.map(str::to_owned));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_with_a_path() {
        let ldd = "\tlinux-vdso.so.1 (0x00007f58872ad000)\n\
                   \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f5886f9b000)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x00007f58872af000)\n";
        assert_eq!(
            libraries(ldd).unwrap(),
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert!(libraries("\tlibx.so.1 => not found\n").is_err());
        assert!(
            libraries("\tnot a dynamic executable\n")
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn the_newest_kernel_is_the_one_with_the_highest_numbers() {
        let mut versions = ["6.1.0-56-amd64", "6.1.0-9-amd64", "5.10.0-60-amd64"];
        versions.sort_by_key(|version| numbers(version));
        assert_eq!(
            versions,
            ["5.10.0-60-amd64", "6.1.0-9-amd64", "6.1.0-56-amd64"]
        );
    }
}
