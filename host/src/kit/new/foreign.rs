//! Projects in languages that have no SDK: one source file, and the contract with a world of its own.

use super::{File, Hook, Name, contract, template};

/// What there is of a language.
struct Dialect {
    /// Name of the source file, by which `plugin build` knows the language.
    source: &'static str,
    base: &'static str,
    /// Parts for each hook, in the order of [`Hook::ALL`].
    fragments: [&'static str; 4],
    readme: &'static str,
    ignored: &'static str,
    more: &'static [(&'static str, &'static str)],
}

const JAVASCRIPT: Dialect = Dialect {
    source: "plugin.js",
    base: include_str!("../templates/js/plugin.js"),
    fragments: [
        include_str!("../templates/js/playlist.js"),
        include_str!("../templates/js/naming.js"),
        include_str!("../templates/js/auth.js"),
        include_str!("../templates/js/overlay.js"),
    ],
    readme: include_str!("../templates/js/README.md"),
    ignored: "/node_modules\n",
    more: &[("package.json", include_str!("../templates/js/package.json"))],
};

const PYTHON: Dialect = Dialect {
    source: "plugin.py",
    base: include_str!("../templates/python/plugin.py"),
    fragments: [
        include_str!("../templates/python/playlist.py"),
        include_str!("../templates/python/naming.py"),
        include_str!("../templates/python/auth.py"),
        include_str!("../templates/python/overlay.py"),
    ],
    readme: include_str!("../templates/python/README.md"),
    ignored: "/.venv\n__pycache__\n",
    more: &[],
};

const C: Dialect = Dialect {
    source: "plugin.c",
    base: include_str!("../templates/c/plugin.c"),
    fragments: [
        include_str!("../templates/c/playlist.c"),
        include_str!("../templates/c/naming.c"),
        include_str!("../templates/c/auth.c"),
        include_str!("../templates/c/overlay.c"),
    ],
    readme: include_str!("../templates/c/README.md"),
    ignored: "/build\n",
    more: &[],
};

const WORLD: &str = include_str!("../templates/world.wit");

pub(super) fn javascript(name: &Name, hooks: &[Hook]) -> Vec<File> {
    project(&JAVASCRIPT, name, hooks)
}

pub(super) fn python(name: &Name, hooks: &[Hook]) -> Vec<File> {
    project(&PYTHON, name, hooks)
}

pub(super) fn c(name: &Name, hooks: &[Hook]) -> Vec<File> {
    project(&C, name, hooks)
}

fn project(dialect: &Dialect, name: &Name, hooks: &[Hook]) -> Vec<File> {
    let fragments: Vec<_> = Hook::ALL
        .into_iter()
        .zip(dialect.fragments)
        .filter(|(hook, _)| hooks.contains(hook))
        .collect();
    let exports: Vec<_> = hooks
        .iter()
        .map(|hook| {
            let line = format!("//- world\nexport picam:plugin/{}@0.1.0;\n", hook.name());
            (*hook, line)
        })
        .collect();
    let exports: Vec<_> = exports
        .iter()
        .map(|(hook, line)| (*hook, line.as_str()))
        .collect();
    let mut source = template::fill(dialect.base, &fragments, name);
    source.truncate(source.trim_end().len());
    source.push('\n');
    let mut project: Vec<File> = vec![
        (dialect.source.into(), source),
        ("README.md".into(), template::named(dialect.readme, name)),
        (".gitignore".into(), dialect.ignored.to_owned()),
        (
            "wit/world.wit".into(),
            template::fill(WORLD, &exports, name),
        ),
    ];
    project.extend(
        dialect
            .more
            .iter()
            .map(|(path, text)| (path.into(), template::named(text, name))),
    );
    project.extend(contract("wit/deps/picam-plugin"));
    project
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_exports_what_the_source_defines() {
        let name = "my-plugin".parse().unwrap();
        for (dialect, defined) in [
            (&JAVASCRIPT, "export const auth"),
            (&PYTHON, "class Auth(exports.Auth)"),
            (&C, "void exports_picam_plugin_auth_decide"),
        ] {
            let project = project(dialect, &name, &[Hook::Auth]);
            let text = |path: &str| {
                let file = project
                    .iter()
                    .find(|(file, _)| file == std::path::Path::new(path));
                file.map(|(_, text)| text.as_str()).unwrap()
            };
            let source = text(dialect.source);
            assert!(
                source.contains(defined) && !source.contains("front"),
                "{source}"
            );
            let world = text("wit/world.wit");
            assert!(world.contains("world %my-plugin {"), "{world}");
            assert!(
                world.contains("    export picam:plugin/auth@0.1.0;\n"),
                "{world}"
            );
            assert!(!world.contains("overlay"), "{world}");
            text("wit/deps/picam-plugin/auth.wit");
        }
    }
}
