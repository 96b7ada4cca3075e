//! Plugins that nobody would write, out of random bytes: what the same bytes say is always the same plugin.

use std::path::Path;

use anyhow::Context as _;
use arbitrary::Unstructured;
use wasm_smith::{Component, Config, Module};
use wit_component::StringEncoding;
use wit_parser::{ManglingAndAbi, Resolve};

/// Worlds of the contract whose plugins are made, each with all of its imports.
const WORLDS: [&str; 5] = [
    "plugin",
    "playlist-plugin",
    "naming-plugin",
    "auth-plugin",
    "overlay-plugin",
];

/// Makes plugins.
#[derive(Debug)]
pub struct Smith {
    worlds: Vec<World>,
}

/// A world of the contract.
#[derive(Debug)]
struct World {
    /// A module that imports and exports what a plugin of this world does.
    shape: Vec<u8>,
    /// The custom section that says so.
    section: (String, Vec<u8>),
}

impl Smith {
    /// Reads the contract that lies beside this crate.
    ///
    /// # Errors
    /// It can't be parsed.
    pub fn new() -> anyhow::Result<Self> {
        let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit");
        let mut resolve = Resolve::default();
        let (package, _) = resolve
            .push_path(&contract)
            .with_context(|| format!("reading the contract in {}", contract.display()))?;
        let worlds = WORLDS
            .into_iter()
            .map(|name| {
                let world = resolve.select_world(&[package], Some(name))?;
                let mangling = ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync);
                Ok(World {
                    shape: wit_component::dummy_module(&resolve, world, mangling),
                    section: (
                        format!("component-type:{name}"),
                        wit_component::metadata::encode(
                            &resolve,
                            world,
                            StringEncoding::UTF8,
                            None,
                            false,
                        )?,
                    ),
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { worlds })
    }

    /// A file that might be a plugin: a module with everything that a hook of the contract has and nonsense behind it, any
    /// module, or any component. `None` if the bytes don't suffice.
    pub fn plugin(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = Unstructured::new(bytes);
        match bytes.arbitrary::<u8>().ok()? {
            0..160 => {
                let world = bytes.choose(&self.worlds).ok()?;
                let config = Config {
                    available_imports: Some(world.shape.clone()),
                    exports: Some(world.shape.clone()),
                    ..config()
                };
                let mut module = Module::new(config, &mut bytes).ok()?.to_bytes();
                push_custom_section(&mut module, &world.section);
                Some(module)
            }
            160..208 => Some(Module::new(config(), &mut bytes).ok()?.to_bytes()),
            208.. => Some(Component::new(config(), &mut bytes).ok()?.to_bytes()),
        }
    }
}

/// What this host's engine takes, so that not all fails at the first look.
fn config() -> Config {
    Config {
        gc_enabled: false,
        exceptions_enabled: false,
        compact_imports_enabled: false,
        shared_everything_threads_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    }
}

/// Appends a custom section (WebAssembly core specification, 5.5.3).
fn push_custom_section(module: &mut Vec<u8>, (name, content): &(String, Vec<u8>)) {
    let mut body = Vec::new();
    push_leb128(&mut body, name.len());
    body.extend(name.as_bytes());
    body.extend(content);
    module.push(0);
    push_leb128(module, body.len());
    module.extend(body);
}

fn push_leb128(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits are a byte");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// The same numbers after the same seed (SplitMix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Begins.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next so many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()[0]
    }
}
