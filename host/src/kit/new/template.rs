//! Templates are source files that their language's tools can read, with marks in comments.
//!
//! In the file of a language a line that is `//+ part` (or `#+ part`) stands for that part of every hook that was asked
//! for, indented as the mark is. In the file of a hook `//- part` begins a part. The plugin of the templates is called
//! `front-door`, in all the ways in which languages write that; it is put in the place of it.

use super::{Hook, Name};

/// Puts the hooks' parts into the language's file, and the plugin's name where that of the template is.
pub(super) fn fill(base: &str, hooks: &[(Hook, &str)], name: &Name) -> String {
    let mut text = String::new();
    for line in base.lines() {
        let Some(part) = mark(line, '+') else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        for (_, fragment) in hooks {
            for line in lines_of(fragment, part) {
                if !line.is_empty() {
                    text.push_str(indent);
                    text.push_str(line);
                }
                text.push('\n');
            }
        }
    }
    let interfaces: Vec<_> = hooks.iter().map(|(hook, _)| hook.name()).collect();
    let hooks: Vec<_> = hooks.iter().map(|(hook, _)| *hook).collect();
    named(&text, name)
        .replace("HOOKS", &interfaces.join(", "))
        .replace("SUMMARY", &super::summary(&hooks))
}

/// The text with the plugin's name in the place of the template's.
pub(super) fn named(text: &str, name: &Name) -> String {
    text.replace("front-door", name.as_str())
        .replace("front_door", &name.snake())
        .replace("FrontDoor", &name.camel())
}

/// The lines of a part. An empty line that ends it belongs to it.
fn lines_of<'a>(fragment: &'a str, part: &'a str) -> impl Iterator<Item = &'a str> {
    fragment
        .lines()
        .skip_while(move |line| mark(line, '-') != Some(part))
        .skip(1)
        .take_while(|line| mark(line, '-').is_none())
}

/// The part that a line marks.
fn mark(line: &str, kind: char) -> Option<&str> {
    let line = line.trim();
    let line = line.strip_prefix("//").or_else(|| line.strip_prefix('#'))?;
    line.strip_prefix(kind)?.strip_prefix(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str =
        "struct FrontDoor {\n    //+ fields\n}\n//+ hook\nexport!(FrontDoor: HOOKS);\n";
    const AUTH: &str = "//- fields\nword: String,\n//- hook\nimpl Auth {\n\n}\n\n//- rest\n";
    const OVERLAY: &str = "//- fields\ntext: String,\n//- hook\nimpl Overlay {}\n";

    #[test]
    fn each_hook_puts_its_parts_where_they_belong() {
        let name = "my-plugin".parse().unwrap();
        let filled = fill(BASE, &[(Hook::Auth, AUTH), (Hook::Overlay, OVERLAY)], &name);
        assert_eq!(
            filled,
            "struct MyPlugin {\n    word: String,\n    text: String,\n}\nimpl Auth {\n\n}\n\nimpl Overlay \
             {}\nexport!(MyPlugin: auth, overlay);\n"
        );
    }
}
