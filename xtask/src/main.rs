//! The project's own commands: `cargo xtask …`.

mod plugins;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("plugins") => plugins::run(args),
        Some(other) => bail!("there is no command `{other}`: try `cargo xtask plugins`"),
        None => bail!("which command? `cargo xtask plugins` builds the stock plugins"),
    }
}
