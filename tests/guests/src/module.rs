//! From what a test says to the bytes of a core module.

use std::fmt::Write as _;

use wit_component::StringEncoding;
use wit_parser::Resolve;

use super::Guest;

/// Whoever answers writes here, as the functions in [`ANSWERS`] do; the largest answer, `decision`, has 44 bytes.
const ANSWER: u32 = 16;

/// Functions that put an answer where the host looks for it, and leave its address.
const ANSWERS: &str = include_str!("answers.wat");

impl Guest {
    /// The core module, with the contract described in a custom section, as compilers write it.
    pub fn module(mut self) -> Vec<u8> {
        let mut description = Vec::new();
        for text in [self.name.clone().as_str(), "1.2.3", "made for a test"] {
            description.extend(self.string(text));
        }
        let mut options = Vec::new();
        for key in self.options.clone() {
            options.extend(self.string(&key));
            options.extend(self.string("1"));
            options.extend(self.string("help"));
        }
        let count = u32::try_from(options.len() / 6).unwrap();
        description.extend([self.words(&options), count]);
        let description = self.words(&description);

        let mut documents = Vec::new();
        for path in self.documents.clone() {
            documents.extend(self.string(&path));
            documents.push(0);
            documents.extend(self.string("text/plain"));
            // Reads nothing: three empty lists, three times false.
            documents.extend([0; 7]);
        }
        let count = u32::try_from(documents.len() / 12).unwrap();
        let documents = self.words(&documents);
        let documents = self.words(&[documents, count]);
        let (some, part) = self
            .part
            .map_or((0, 0), |part| (1, u32::try_from(part).unwrap()));
        let timing = self.words(&[0, 0, 0, 0, some, 0, part, 0, 0, 0, 0, 0]);

        let reads = self.reads_record();
        let template = self.template.clone().map(|text| self.string(&text));
        let data: String = self
            .data
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        let mut hooks = String::new();
        for hook in &self.hooks {
            hooks += &match *hook {
                "playlist" => self.playlist(timing, documents),
                "naming" => self.naming(template),
                "auth" => self.auth(reads),
                "overlay" => self.overlay(),
                other => panic!("the contract has no hook `{other}`"),
            };
        }
        if let Some((save, restore)) = &self.state {
            hooks += &function("state", "save", "(result i32)", save);
            hooks += &function(
                "state",
                "restore",
                "(param $saved i32) (param $saved_len i32) (result i32)",
                &format!(
                    "{restore} (i32.store8 (i32.const {ANSWER}) (i32.const 0)) (i32.const {ANSWER})"
                ),
            );
        }
        let text = format!(
            r#"(module
                {imports}
                (memory (export "memory") 2)
                (global $heap (mut i32) (i32.const 65536))
                (global $calls (mut i32) (i32.const 0))
                (data (i32.const 1024) "{data}")
                (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and
                        (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                        (i32.sub (i32.const 0) (local.get $align))))
                    (global.set $heap (i32.add (local.get $at) (local.get $size)))
                    (local.get $at))
                {ANSWERS}
                (func $no (param $at i32) (param $len i32) (result i32)
                    (i32.store8 (i32.const {ANSWER}) (i32.const 1))
                    (i32.store offset=4 (i32.const {ANSWER}) (local.get $at))
                    (i32.store offset=8 (i32.const {ANSWER}) (local.get $len))
                    (i32.const {ANSWER}))
                (func $count_call (global.set $calls (i32.add (global.get $calls) (i32.const 1))))
                {functions}
                (func (export "picam:plugin/lifecycle@0.1.0#describe") (result i32)
                    {describe}
                    (i32.const {description}))
                (func (export "picam:plugin/lifecycle@0.1.0#init") (param i32 i32) (result i32)
                    {init}
                    (i32.store8 (i32.const {ANSWER}) (i32.const 0))
                    (i32.const {ANSWER}))
                {hooks})"#,
            imports = self.imports,
            functions = self.functions,
            describe = self.describe,
            init = self.init,
        );
        let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let state = self.state.is_some().then_some("state");
        with_contract(module, self.hooks.iter().copied().chain(state))
    }

    fn playlist(&self, timing: u32, documents: u32) -> String {
        let fixed = |name, at| {
            function(
                "playlist",
                name,
                "(result i32)",
                &format!("(i32.const {at})"),
            )
        };
        fixed("wanted-timing", timing)
            + &fixed("documents", documents)
            + &hook(
                "playlist",
                "render",
                "(param $args i32) (result i32)",
                &self.render,
            )
    }

    fn naming(&self, template: Option<[u32; 2]>) -> String {
        let (some, [at, len]) = (template.is_some(), template.unwrap_or_default());
        hook(
            "naming",
            "name",
            "(param $kind i32) (param $rendition i32) (param $rendition_len i32) (param $number i64) \
             (param $captured i64) (result i32)",
            &self.name_object,
        ) + &function(
            "naming",
            "segment-template",
            "(param i32 i32) (result i32)",
            &format!(
                "(call $no (i32.const {at}) (i32.const {len})) drop
                 (i32.store8 (i32.const {ANSWER}) (i32.const {})) (i32.const {ANSWER})",
                i32::from(some)
            ),
        )
    }

    fn auth(&self, reads: u32) -> String {
        function(
            "auth",
            "reads",
            "(result i32)",
            &format!("(i32.const {reads})"),
        ) + &hook(
            "auth",
            "decide",
            "(param $args i32) (result i32)",
            &self.decide,
        )
    }

    fn overlay(&self) -> String {
        hook(
            "overlay",
            "draw",
            "(param $time i64) (param $captured i64) (param $width i32) (param $height i32) (result i32)",
            &self.draw,
        )
    }

    fn reads_record(&mut self) -> u32 {
        let reads = self.reads;
        let mut record = Vec::new();
        for names in [reads.query, reads.headers, reads.cookies] {
            let list: Vec<_> = names.iter().flat_map(|name| self.string(name)).collect();
            record.extend([self.words(&list), u32::try_from(names.len()).unwrap()]);
        }
        record.push(u32::from_le_bytes([
            reads.method.into(),
            reads.peer.into(),
            reads.form.into(),
            0,
        ]));
        self.words(&record)
    }
}

/// An export of the contract.
fn function(interface: &str, name: &str, signature: &str, body: &str) -> String {
    format!(
        "(func $do_{name} (export \"picam:plugin/{interface}@0.1.0#{name}\") {signature} {body})\n"
    )
}

/// One that counts, and after which the heap is emptied.
fn hook(interface: &str, name: &str, signature: &str, body: &str) -> String {
    function(
        interface,
        name,
        signature,
        &format!("(call $count_call) {body}"),
    ) + &format!(
        "(func (export \"cabi_post_picam:plugin/{interface}@0.1.0#{name}\") (param i32)
                 (global.set $heap (i32.const 65536)))\n"
    )
}

/// A core module with the part of the contract described in it that it has: `lifecycle`, and these interfaces.
///
/// # Panics
/// The module doesn't have what these interfaces are about.
pub fn with_contract<'a>(
    mut module: Vec<u8>,
    interfaces: impl IntoIterator<Item = &'a str>,
) -> Vec<u8> {
    let mut exports = String::new();
    for interface in interfaces {
        writeln!(exports, "export picam:plugin/{interface}@0.1.0;").unwrap();
    }
    let world = format!(
        "package test:guest; world guest {{ include picam:plugin/imports@0.1.0; export picam:plugin/lifecycle@0.1.0; \
         {exports} }}"
    );
    let mut resolve = Resolve::default();
    resolve
        .push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit"))
        .unwrap();
    let package = resolve.push_str("guest.wit", &world).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .unwrap();
    module
}
