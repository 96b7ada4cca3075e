//! front-door: a plugin for picam-host.
//!
//! `picam-host plugin build` makes `front-door.wasm` of it; `picam-host --plugin front-door.wasm` runs it.

use picam_plugin::{Config, Description, Plugin};
//+ use

/// Made once, from the configuration, and asked from then on.
pub struct FrontDoor {
    //+ fields
}

impl Plugin for FrontDoor {
    fn describe() -> Description {
        Description::new(
            "front-door",
            env!("CARGO_PKG_VERSION"),
            "SUMMARY",
        )
        //+ options
    }

    fn start(config: &Config) -> Result<Self, String> {
        Ok(Self {
            //+ start
        })
    }
}

//+ hook
picam_plugin::export!(FrontDoor: HOOKS);

// Plugins are tried on the machine you sit at: `cargo test`.
#[cfg(test)]
mod tests {
    use super::*;

    fn plugin<const N: usize>(config: [(&str, &str); N]) -> FrontDoor {
        FrontDoor::start(&Config::from(config)).expect("the configuration is right")
    }
    //+ tests
}
