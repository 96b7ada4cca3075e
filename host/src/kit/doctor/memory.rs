use std::{
    fs,
    path::{Path, PathBuf},
    ptr::null_mut,
    thread::available_parallelism,
};

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::{config::Config, kit::report::bytes, run};

/// What the host takes without plugins and without a window.
const HOST: u64 = 48 << 20;
/// What a plugin in Rust or C holds in all its instances.
const PLUGIN: u64 = 4 << 20;
/// Address space that is reserved for each memory of a plugin, and what else an instance takes (stack, code, guards).
const INSTANCE: u64 = (32 << 20) + (4 << 20);
/// Open files that are no viewers.
const OTHER_FILES: u64 = 128;
/// Fewer viewers than this surprise somebody one day.
const VIEWERS: u64 = 500;

/// Memory, address space and open files: whether there is enough of each.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let plugins = (config.plugins.len() + run::STOCK.len()) as u64;
    vec![
        memory(needed(config, plugins), available()),
        address_space(plugins * instances() * INSTANCE + run::WINDOW_BYTES + HOST),
        files(getrlimit(Resource::Nofile).maximum),
    ]
}

/// Bytes that the host is going to use: half a minute of pictures at the rate that is asked for, doubled, since the window
/// remembers what has left it.
fn needed(config: &Config, plugins: u64) -> u64 {
    let window = u64::from(config.stream.bitrate) / 8 * 60;
    HOST + plugins * PLUGIN + window.min(run::WINDOW_BYTES)
}

/// Instances that a plugin may have: one for each processor, and one that takes over.
fn instances() -> u64 {
    available_parallelism().map_or(1, |processors| processors.get() as u64) + 1
}

fn memory(needed: u64, available: Option<u64>) -> Finding {
    match available {
        None => Finding::ok("memory", "the kernel doesn't tell how much is left"),
        Some(available) if available < needed => Finding::wrong(
            "memory",
            format!(
                "{} are left, and about {} will be used",
                bytes(available),
                bytes(needed)
            ),
        )
        .mend("lower --bitrate or a plugin's window-s, stop something else, or raise the limit of the service or container"),
        Some(available) if available < needed * 2 => Finding::warn(
            "memory",
            format!(
                "{} are left, and about {} will be used",
                bytes(available),
                bytes(needed)
            ),
            "a lower --bitrate or a shorter window-s leaves more",
        ),
        Some(available) => Finding::ok(
            "memory",
            format!(
                "{} are left, and about {} will be used",
                bytes(available),
                bytes(needed)
            ),
        ),
    }
}

/// Bytes that can be had: of the machine, and of the control group that we are in.
fn available() -> Option<u64> {
    let machine = meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
    Some(group().map_or(machine, |group| group.min(machine)))
}

/// `MemAvailable` (proc(5)), which is in KiB.
fn meminfo(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// What the tightest control group (version 2) above us leaves.
fn group() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let groups: Vec<PathBuf> = root.join(path).ancestors().map(Path::to_owned).collect();
    groups
        .iter()
        .take_while(|group| group.starts_with(root))
        .filter_map(|group| left(group))
        .min()
}

/// What a control group leaves; `None` where it sets no limit.
fn left(group: &Path) -> Option<u64> {
    let read = |name: &str| -> Option<u64> {
        fs::read_to_string(group.join(name))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    Some(read("memory.max")?.saturating_sub(read("memory.current")?))
}

/// Tries whether so much address space can be reserved, without using any memory.
fn address_space(needed: u64) -> Finding {
    let limit = getrlimit(Resource::As).current;
    if reservable(needed) {
        return Finding::ok(
            "address space",
            format!("{} for plugins can be reserved", bytes(needed)),
        );
    }
    let finding = Finding::wrong(
        "address space",
        format!(
            "{} for plugins can't be reserved{}",
            bytes(needed),
            limit.map_or_else(String::new, |limit| format!(
                ": the limit (ulimit -v) is {}",
                bytes(limit)
            ))
        ),
    );
    finding.mend(match limit {
        Some(_) => "raise it with `ulimit -v unlimited`, or `LimitAS=infinity` in the service",
        None => "load fewer plugins",
    })
}

fn reservable(length: u64) -> bool {
    let Ok(length) = usize::try_from(length) else {
        return false;
    };
    // SAFETY: A mapping of its own, at an address that the kernel chooses; nothing can be read or written there.
    let mapped = unsafe {
        libc::mmap(
            null_mut(),
            length,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: It is what was just mapped, and nobody else knows of it.
    unsafe { libc::munmap(mapped, length) };
    true
}

/// The limit of open files, to which the host raises its own.
fn files(most: Option<u64>) -> Finding {
    match most {
        Some(most) if most < VIEWERS + OTHER_FILES => Finding::warn(
            "open files",
            format!(
                "the limit is {most} (ulimit -Hn), which is {} viewers at once",
                most.saturating_sub(OTHER_FILES).max(1)
            ),
            "`LimitNOFILE=65536` in the service, or `ulimit -Hn` in the shell that starts it, raises it",
        ),
        Some(most) => Finding::ok("open files", format!("{most} may be open at once")),
        None => Finding::ok("open files", "there is no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::Level, *};

    #[test]
    fn memory_that_does_not_suffice_is_wrong_and_little_a_warning() {
        assert_eq!(memory(100, Some(99)).level, Level::Wrong);
        assert_eq!(memory(100, Some(199)).level, Level::Warn);
        assert_eq!(memory(100, Some(200)).level, Level::Ok);
        assert_eq!(memory(100, None).level, Level::Ok);
    }

    #[test]
    fn a_higher_rate_needs_more_memory_up_to_the_windows_bound() {
        let at = |bitrate| {
            let mut config = Config::default();
            config.stream.bitrate = bitrate;
            needed(&config, 1)
        };
        assert!(at(8_000_000) > at(2_000_000));
        assert_eq!(at(800_000_000), at(400_000_000));
    }

    #[test]
    fn the_kernels_figures_can_be_read() {
        assert_eq!(
            meminfo("MemFree: 1 kB\nMemAvailable:  2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(meminfo(""), None);
        assert!(available().unwrap() > 0);
        let group = tempfile::tempdir().unwrap();
        assert_eq!(left(group.path()), None);
        fs::write(group.path().join("memory.current"), "40\n").unwrap();
        fs::write(group.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(left(group.path()), None);
        fs::write(group.path().join("memory.max"), "100\n").unwrap();
        assert_eq!(left(group.path()), Some(60));
    }

    #[test]
    fn more_address_space_than_any_kernel_gives_can_not_be_reserved() {
        assert!(reservable(1 << 20));
        let finding = address_space(1 << 62);
        assert_eq!(finding.level, Level::Wrong);
        assert!(finding.mend.is_some());
    }

    #[test]
    fn few_open_files_are_told_as_viewers() {
        let finding = files(Some(256));
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.text.contains("128 viewers"), "{finding:?}");
        assert_eq!(files(Some(65_536)).level, Level::Ok);
        assert_eq!(files(None).level, Level::Ok);
    }
}
