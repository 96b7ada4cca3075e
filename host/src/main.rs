//! The `picam-host` command.

fn main() {}
