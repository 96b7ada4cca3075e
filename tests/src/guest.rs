use std::{
    collections::hash_map::DefaultHasher,
    hash::Hasher,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// Builds a plugin of `tests/guests/`, a core module in text, which the host makes a component of.
#[derive(Clone, Debug)]
pub struct Guest {
    text: String,
    world: String,
    contract: PathBuf,
}

impl Guest {
    /// Names objects `i/NUMBER`, `s/NUMBER` and `p/NUMBER`. What is in `trouble`, instructions, comes first; there are
    /// `$kind`, `$number` and `$captured`.
    pub fn naming(trouble: &str) -> Self {
        Self::new(
            include_str!("../guests/naming.wat").replace("TROUBLE", trouble),
            "naming-plugin",
        )
    }

    /// The same, without saying how a template would name segments.
    pub fn without_template(mut self) -> Self {
        const SOME: &str = "(i32.store8 (i32.const 2048) (i32.const 1))";
        assert_eq!(self.text.matches(SOME).count(), 1, "one option is answered");
        self.text = self.text.replace(SOME, &SOME.replace("1))", "0))"));
        self
    }

    /// Draws an operation of each kind, with the whole second of the presentation as its text.
    pub fn overlay() -> Self {
        Self::new(
            include_str!("../guests/overlay.wat").to_owned(),
            "overlay-plugin",
        )
    }

    fn new(text: String, world: &str) -> Self {
        Self {
            text,
            world: world.to_owned(),
            contract: Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit"),
        }
    }

    /// Built for a world of another contract, in the version that this one has, with more fields in the module.
    pub fn of_contract(mut self, contract: &Path, version: &str, world: &str, more: &str) -> Self {
        self.text = self.text.replace("@0.1.0#", &format!("@{version}#"));
        let end = self.text.rfind(')').expect("a module in text");
        self.text.insert_str(end, more);
        self.world = world.to_owned();
        self.contract = contract.to_owned();
        self
    }

    /// With an import more.
    pub fn importing(mut self, import: &str) -> Self {
        self.text = self
            .text
            .replacen("(module", &format!("(module {import}"), 1);
        self
    }

    /// Builds it, and returns the path of its file.
    pub fn build(&self) -> Result<String> {
        let mut module = wat::parse_str(&self.text)?;
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(&self.contract)?;
        let world = resolve.select_world(&[package], Some(&self.world))?;
        wit_component::embed_component_metadata(
            &mut module,
            &resolve,
            world,
            StringEncoding::UTF8,
        )?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&module);
        let directory = crate::target_directory().join("test-guests");
        std::fs::create_dir_all(&directory)?;
        // Tests that run at once may build the same: what one reads, another writes anew only as a whole.
        let path = directory.join(format!("{}-{:016x}.wasm", self.world, hasher.finish()));
        let whole = tempfile::NamedTempFile::new_in(&directory)?;
        std::fs::write(whole.path(), &module)?;
        whole.persist(&path)?;
        path.into_os_string()
            .into_string()
            .ok()
            .context("the target directory's name is text")
    }
}
