//! What this machine is called, and where it can be reached.

use std::net::IpAddr;

/// Its name, in lower case; `None` if the kernel doesn't tell.
pub(crate) fn hostname() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
}

/// The addresses that its interfaces have now, those of loopback among them.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!("the addresses of this machine can't be found out: {error}");
        Vec::new()
    });
    interfaces.iter().map(if_addrs::Interface::ip).collect()
}
