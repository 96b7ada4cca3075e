//! Small plugins in WebAssembly text, each as good or as bad as a test wants it.
//!
//! They follow the canonical ABI by hand: results lie at fixed addresses below 1,024, strings above, and the heap, from
//! which the host allocates arguments, begins at 64 KiB and is emptied after each call of a hook.
//!
//! The bodies of hooks find their arguments in locals, and leave the address of their result on the stack; `$calls` counts
//! the calls of all hooks.

mod module;
mod troubled;

use std::{fmt::Write as _, path::PathBuf};

pub use module::with_contract;
pub use troubled::Troubled;

/// Instructions that never end.
pub const LOOP: &str = "(loop $for_ever (br $for_ever)) (unreachable)";

/// Instructions that take memory, and use it, until there is no more.
pub const BOMB: &str = "(loop $more
    (memory.fill
        (i32.mul (memory.grow (i32.const 16)) (i32.const 65536)) (i32.const 1) (i32.const 1048576))
    (br $more))
    (unreachable)";

/// A plugin to be built.
#[derive(Clone, Debug)]
pub struct Guest {
    name: String,
    hooks: Vec<&'static str>,
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
#[derive(Clone, Copy, Debug, Default)]
pub struct Reads {
    /// Query parameters.
    pub query: &'static [&'static str],
    /// Header fields.
    pub headers: &'static [&'static str],
    /// Cookies.
    pub cookies: &'static [&'static str],
    /// The method.
    pub method: bool,
    /// The address of the peer.
    pub peer: bool,
    /// The body of a form.
    pub form: bool,
}

impl Guest {
    /// A plugin that writes `NAME.txt`, the id of the presentation.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            hooks: vec!["playlist"],
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

    /// Exports these hooks instead, by the names of their interfaces.
    pub fn hooks(mut self, hooks: &[&'static str]) -> Self {
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

    /// Decides by the first letter of the token: `a` allows everything below `/cam/` for an hour, `d` denies it for a minute,
    /// `o` allows this once; others by `more`, pairs of a letter and a body. Without a token, or on trial, it denies this
    /// once.
    pub fn obedient(self, more: &[(char, &str)]) -> Self {
        let mut guest = self.hooks(&["auth"]);
        let prefix = guest.text("/cam/");
        let none = "(i32.const 0) (i32.const 0)";
        let once = format!("(call $deny (i32.const 401) {none} (i32.const 0) {none})");
        let mut bodies = vec![
            ('a', format!("(call $allow (i32.const 3600) {prefix})")),
            (
                'd',
                format!("(call $deny (i32.const 403) {none} (i32.const 60) {prefix})"),
            ),
            ('o', format!("(call $allow (i32.const 0) {none})")),
        ];
        bodies.extend(more.iter().map(|&(letter, body)| (letter, body.to_owned())));
        let mut decide = once.clone();
        for (letter, body) in bodies {
            decide = format!(
                "(if (result i32) (i32.eq (i32.load8_u (i32.load offset=20 (local.get $args))) (i32.const {}))
                    (then {body}) (else {decide}))",
                u32::from(letter)
            );
        }
        guest.decide(&format!(
            "(if (result i32) (i32.load8_u offset=16 (local.get $args)) (then {decide}) (else {once}))"
        ))
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

    /// The same, but behaves as long as it is on trial: while the presentation is called `trial`, which none is whose
    /// name was drawn at random, since those have no `i`.
    pub fn render_live(self, body: &str) -> Self {
        let good = self.render.clone();
        self.render(&format!(
            "(if (result i32) (i32.eq (i32.load (call $id (local.get $args))) (i32.const {trial}))
                 (then {good}) (else {body}))",
            trial = u32::from_le_bytes(*b"tria"),
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
}

/// Plugins in a directory of their own, which goes when this does.
#[derive(Debug)]
pub struct Guests {
    directory: tempfile::TempDir,
}

impl Default for Guests {
    fn default() -> Self {
        Self::new()
    }
}

impl Guests {
    /// None yet.
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// The directory.
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
