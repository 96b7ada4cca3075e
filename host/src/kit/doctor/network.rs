use std::{fs, net::SocketAddr, os::linux::fs::MetadataExt as _, path::Path};

use anyhow::Context as _;

use super::Finding;
use crate::{config::Config, http};

/// Addresses: each is bound, as the host would, and given back.
pub(super) fn look(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("starting an executor to listen with")?;
    let _entered = runtime.enter();
    let viewers = config.listen.iter().map(|listen| (*listen, "--listen"));
    let operator = std::iter::once((config.operator, "--operator"));
    Ok(viewers
        .chain(operator)
        .flat_map(|(listen, option)| {
            let certificate = listen.tls == Some(true) && config.tls.is_none();
            let missing = certificate.then(|| {
                Finding::wrong(
                    "tls",
                    format!("{option} https://{} has no certificate", listen.address),
                )
                .mend("--tls CERT,KEY takes yours, --tls alone makes one for this machine")
            });
            [Some(port(listen.address, option)), missing]
        })
        .flatten()
        .collect())
}

fn port(address: SocketAddr, option: &str) -> Finding {
    let error = match http::could_listen(address, option) {
        Ok(()) => return Finding::ok("port", format!("{address} is free")),
        Err(error) => format!("{error:#}"),
    };
    match holder(address.port()) {
        Some(Holder { name, id }) if name == "picam-host" => Finding::warn(
            "port",
            format!("{address} is served by a picam-host that runs already (process {id})"),
            "to look at a machine that serves nothing yet, stop it before",
        ),
        Some(Holder { name, id }) => {
            Finding::wrong("port", error).mend(format!("it is taken by {name} (process {id})"))
        }
        None => Finding::wrong("port", error),
    }
}

/// Who listens on a port.
#[derive(Debug, PartialEq, Eq)]
struct Holder {
    name: String,
    id: u32,
}

/// The process that listens on a TCP port, as far as we may see that.
fn holder(port: u16) -> Option<Holder> {
    let sockets: Vec<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .collect();
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        has_socket(&entry.path(), &sockets).then_some(())?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        Some(Holder {
            name: name.trim_end().to_owned(),
            id,
        })
    })
}

/// Inodes of the sockets that listen on a port, from the kernel's table (proc(5)).
fn listening(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (_, local) = fields.get(1)?.rsplit_once(':')?;
            let listens = *fields.get(3)? == LISTEN && u16::from_str_radix(local, 16) == Ok(port);
            listens.then_some(fields.get(9)?.parse().ok()?)
        })
        .collect()
}

/// Whether a process has one of these sockets open. Of other people's processes that can't be seen.
fn has_socket(process: &Path, sockets: &[u64]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        fs::metadata(file.path()).is_ok_and(|file| sockets.contains(&file.st_ino()))
            && fs::read_link(file.path())
                .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{super::report::Level, *};

    fn looked_at(address: SocketAddr) -> Finding {
        let config = Config {
            listen: vec![address.into()],
            operator: SocketAddr::from(([127, 0, 0, 1], 0)).into(),
            ..Config::default()
        };
        look(&config).unwrap().remove(0)
    }

    #[test]
    fn a_port_that_is_taken_is_wrong_and_its_holder_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let finding = looked_at(taken.local_addr().unwrap());
        assert_eq!(finding.level, Level::Wrong);
        assert!(finding.text.contains("--listen"), "{finding:?}");
        let us = format!("(process {})", std::process::id());
        assert!(finding.mend.clone().unwrap().contains(&us), "{finding:?}");
    }

    #[test]
    fn a_port_that_is_free_is_free_afterwards() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        assert_eq!(looked_at(address).level, Level::Ok);
        TcpListener::bind(address).unwrap();
    }

    #[test]
    fn an_address_that_no_interface_has_is_told() {
        let finding = looked_at("192.0.2.1:8080".parse().unwrap());
        assert_eq!(finding.level, Level::Wrong);
        assert!(finding.text.contains("no network interface"), "{finding:?}");
    }

    #[test]
    fn only_sockets_that_listen_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31 1\n   1: \
                     0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 32 1\n   2: \
                     0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 33 1\n";
        assert_eq!(listening(table, 8_080), [31]);
    }
}
