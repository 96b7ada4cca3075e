//! Small plugins in WebAssembly text, each as good or as bad as a test wants it.
//!
//! They follow the canonical ABI by hand: results lie at fixed addresses below 1,024, strings above, and the heap, from
//! which the host allocates arguments, begins at 64 KiB and is emptied after each call of a hook.
//!
//! The bodies of hooks find their arguments in locals, and leave the address of their result on the stack; `$calls` counts
//! the calls of all hooks.

use std::{fmt::Write as _, path::PathBuf};

use wit_component::StringEncoding;
use wit_parser::Resolve;

use super::super::Hook;

/// Whoever answers writes here, as the functions in [`ANSWERS`] do; the largest answer, `decision`, has 44 bytes.
const ANSWER: u32 = 16;

/// A plugin to be built.
pub struct Guest {
    name: String,
    hooks: Vec<Hook>,
    state: Option<(String, String)>,
    documents: Vec<String>,
    options: Vec<String>,
    part: Option<u64>,
    imports: String,
    functions: String,
    describe: String,
    init: String,
    render: String,
    reads: Reads,
    decide: String,
    name_object: String,
    template: Option<String>,
    draw: String,
    data: Vec<u8>,
}

/// What `auth` declares.
#[derive(Clone, Copy, Default)]
pub struct Reads {
    pub query: &'static [&'static str],
    pub headers: &'static [&'static str],
    pub cookies: &'static [&'static str],
    pub method: bool,
    pub peer: bool,
    pub form: bool,
}

impl Guest {
    /// A plugin that writes `NAME.txt`, the id of the presentation.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            hooks: vec![Hook::Playlist],
            state: None,
            documents: vec![format!("{name}.txt")],
            options: Vec::new(),
            part: None,
            imports: String::new(),
            functions: String::new(),
            describe: String::new(),
            init: String::new(),
            render: "(call $document (call $id (local.get $args)) (call $id_len (local.get $args)) (i32.const 5))"
                .to_owned(),
            reads: Reads::default(),
            decide: "(call $allow (i32.const 0) (i32.const 0) (i32.const 0))".to_owned(),
            name_object: "(call $decimal (local.get $number))".to_owned(),
            template: None,
            draw: "(call $drawing (i32.const 0) (i32.const 0) (i64.const 0))".to_owned(),
            data: Vec::new(),
        }
    }

    /// Exports these hooks instead.
    pub fn hooks(mut self, hooks: &[Hook]) -> Self {
        self.hooks = hooks.to_vec();
        self
    }

    /// What `auth` declares; nothing unless said otherwise.
    pub fn reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }

    /// Decides so. `$args` is the request: `now` at 0, `path` at 8, `token` at 16 (20, 24), `method` at 28, `peer` at 36,
    /// `query` at 44, `headers` at 52, `cookies` at 60, `form` at 68, each text an address and a length.
    pub fn decide(mut self, body: &str) -> Self {
        self.decide = body.to_owned();
        self
    }

    /// Names objects so; by their number in digits, `$decimal`, unless said otherwise. There are `$kind`, `$rendition`, `$rendition_len`, `$number` and `$captured`.
    pub fn name_object(mut self, body: &str) -> Self {
        self.name_object = body.to_owned();
        self
    }

    /// Says so of its names of segments.
    pub fn template(mut self, template: &str) -> Self {
        self.template = Some(template.to_owned());
        self
    }

    /// Draws so. There are `$time`, `$captured`, `$width` and `$height`.
    pub fn draw(mut self, body: &str) -> Self {
        self.draw = body.to_owned();
        self
    }

    /// Exports `state`: `save` leaves what `$string` returns, and `restore`, with `$saved` and `$saved_len`, does this
    /// before it says yes.
    pub fn state(mut self, save: &str, restore: &str) -> Self {
        self.state = Some((save.to_owned(), restore.to_owned()));
        self
    }

    /// Writes these documents instead.
    pub fn documents<S: ToString>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.documents = paths.into_iter().map(|path| path.to_string()).collect();
        self
    }

    /// Takes these configuration keys, and ignores them.
    pub fn options(mut self, keys: &[&str]) -> Self {
        self.options = keys.iter().map(|&key| key.to_owned()).collect();
        self
    }

    /// Wants parts of this many microseconds.
    pub fn part(mut self, micros: u64) -> Self {
        self.part = Some(micros);
        self
    }

    /// Imports a function of the contract as `$name`, with this core signature.
    pub fn import(mut self, interface: &str, function: &str, signature: &str) -> Self {
        writeln!(
            self.imports,
            r#"(import "picam:plugin/{interface}@0.1.0" "{function}" (func ${function} {signature}))"#
        )
        .unwrap();
        self
    }

    /// Adds functions, to be called from the bodies below.
    pub fn functions(mut self, text: &str) -> Self {
        self.functions.push_str(text);
        self
    }

    /// Does this in `describe` before it describes.
    pub fn describe(mut self, body: &str) -> Self {
        self.describe = body.to_owned();
        self
    }

    /// Does this in `init` before it says yes. `(return (call $no PTR LEN))` says no.
    pub fn init(mut self, body: &str) -> Self {
        self.init = body.to_owned();
        self
    }

    /// Leaves the address of an answer on the stack, whatever the presentation.
    pub fn render(mut self, body: &str) -> Self {
        self.render = body.to_owned();
        self
    }

    /// The same, but behaves as long as it is on trial.
    pub fn render_live(self, body: &str) -> Self {
        let good = self.render.clone();
        self.render(&format!(
            "(if (result i32) (i32.eq (i32.load8_u (call $id (local.get $args))) (i32.const {trial}))
                 (then {good}) (else {body}))",
            trial = u32::from(b't'),
        ))
    }

    /// Keeps a string in memory; returns `(i32.const PTR) (i32.const LEN)`.
    pub fn text(&mut self, text: &str) -> String {
        let (at, length) = self.place(text.as_bytes(), 1);
        format!("(i32.const {at}) (i32.const {length})")
    }

    fn place(&mut self, bytes: &[u8], align: usize) -> (u32, u32) {
        while !self.data.len().is_multiple_of(align) {
            self.data.push(0);
        }
        let at = 1_024 + u32::try_from(self.data.len()).unwrap();
        self.data.extend_from_slice(bytes);
        assert!(
            self.data.len() < 60_000,
            "the heap begins behind the strings"
        );
        (at, u32::try_from(bytes.len()).unwrap())
    }

    /// Keeps a string in memory; returns its address and its length.
    pub fn string(&mut self, text: &str) -> [u32; 2] {
        let (at, length) = self.place(text.as_bytes(), 1);
        [at, length]
    }

    /// Keeps words in memory; returns their address.
    pub fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.place(&bytes, 8).0
    }

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
            hooks += &match hook {
                Hook::Playlist => self.playlist(timing, documents),
                Hook::Naming => self.naming(template),
                Hook::Auth => self.auth(reads),
                Hook::Overlay => self.overlay(),
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
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut resolve = Resolve::default();
        resolve
            .push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"))
            .unwrap();
        let package = resolve.push_str("guest.wit", &self.world()).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        wit_component::embed_component_metadata(
            &mut module,
            &resolve,
            world,
            StringEncoding::UTF8,
            false,
        )
        .unwrap();
        module
    }

    /// The part of the contract that this plugin has.
    fn world(&self) -> String {
        let mut exports = String::new();
        let hooks = self.hooks.iter().map(|hook| hook.name());
        for interface in hooks.chain(self.state.is_some().then_some("state")) {
            writeln!(exports, "export picam:plugin/{interface}@0.1.0;").unwrap();
        }
        format!(
            "package test:guest; world guest {{ include picam:plugin/imports@0.1.0; export picam:plugin/lifecycle@0.1.0; \
             {exports} }}"
        )
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

/// Functions that put an answer where the host looks for it, and leave its address. Headers are none.
const ANSWERS: &str = "
    (func $id (param $args i32) (result i32) (i32.load offset=32 (local.get $args)))
    (func $id_len (param $args i32) (result i32) (i32.load offset=36 (local.get $args)))
    (func $document (param $at i32) (param $len i32) (param $age i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 0))
        (i32.store offset=8 (i32.const 16) (local.get $at))
        (i32.store offset=12 (i32.const 16) (local.get $len))
        (i32.store offset=16 (i32.const 16) (local.get $age))
        (i32.const 16))
    (func $wait (param $sequence i64) (param $parts i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 1))
        (i64.store offset=8 (i32.const 16) (local.get $sequence))
        (i32.store offset=16 (i32.const 16) (local.get $parts))
        (i32.const 16))
    (func $refuse (param $status i32) (param $at i32) (param $len i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 2))
        (i32.store16 offset=8 (i32.const 16) (local.get $status))
        (i32.store offset=12 (i32.const 16) (local.get $at))
        (i32.store offset=16 (i32.const 16) (local.get $len))
        (i32.const 16))
    (func $string (param $at i32) (param $len i32) (result i32)
        (i32.store (i32.const 16) (local.get $at))
        (i32.store offset=4 (i32.const 16) (local.get $len))
        (i32.const 16))
    (func $decimal (param $number i64) (result i32)
        (local $at i32)
        (local.set $at (i32.const 600))
        (loop $more
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (i32.store8 (local.get $at)
                (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10)))))
            (local.set $number (i64.div_u (local.get $number) (i64.const 10)))
            (br_if $more (i64.ne (local.get $number) (i64.const 0))))
        (call $string (local.get $at) (i32.sub (i32.const 600) (local.get $at))))
    (func $drawing (param $at i32) (param $len i32) (param $until i64) (result i32)
        (i32.store (i32.const 16) (local.get $at))
        (i32.store offset=4 (i32.const 16) (local.get $len))
        (i64.store offset=8 (i32.const 16) (local.get $until))
        (i32.const 16))
    (func $allow (param $seconds i32) (param $prefix i32) (param $prefix_len i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 0))
        (i32.store offset=4 (i32.const 16) (local.get $seconds))
        (i32.store offset=8 (i32.const 16) (local.get $prefix))
        (i32.store offset=12 (i32.const 16) (local.get $prefix_len))
        (i64.store offset=16 (i32.const 16) (i64.const 0))
        (i32.const 16))
    (func $deny (param $status i32) (param $at i32) (param $len i32) (param $seconds i32) (param $prefix i32)
        (param $prefix_len i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 1))
        (i32.store16 offset=4 (i32.const 16) (local.get $status))
        (i64.store offset=8 (i32.const 16) (i64.const 0))
        (i64.store offset=16 (i32.const 16) (i64.const 0))
        (i32.store offset=24 (i32.const 16) (local.get $at))
        (i32.store offset=28 (i32.const 16) (local.get $len))
        (i32.store offset=32 (i32.const 16) (local.get $seconds))
        (i32.store offset=36 (i32.const 16) (local.get $prefix))
        (i32.store offset=40 (i32.const 16) (local.get $prefix_len))
        (i32.const 16))
    (func $redirect (param $status i32) (param $at i32) (param $len i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 2))
        (i32.store16 offset=4 (i32.const 16) (local.get $status))
        (i32.store offset=8 (i32.const 16) (local.get $at))
        (i32.store offset=12 (i32.const 16) (local.get $len))
        (i64.store offset=16 (i32.const 16) (i64.const 0))
        (i32.const 16))
    (func $headers (param $answer i32) (param $offset i32) (param $at i32) (param $count i32) (result i32)
        (i32.store (i32.add (local.get $answer) (local.get $offset)) (local.get $at))
        (i32.store offset=4 (i32.add (local.get $answer) (local.get $offset)) (local.get $count))
        (local.get $answer))";

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

/// Plugins in a directory of their own, which goes when this does.
pub struct Guests {
    directory: tempfile::TempDir,
}

impl Guests {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Writes a file, and returns its path.
    pub fn add(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    /// Builds a plugin, and returns the path of its file.
    pub fn build(&self, guest: Guest) -> String {
        let name = format!("{}.wasm", guest.name);
        let module = guest.module();
        self.add(&name, &module)
    }
}
