use picam_plugin::kv;

/// What values are called in the store.
const PREFIX: &str = "value/";

/// The value of this name, if it is set.
pub(crate) fn value(name: &str) -> Option<Vec<u8>> {
    kv::get(&[PREFIX, name].concat())
}

/// Text with values in it: `{NAME}` stands for one, `{{` and `}}` for braces.
#[derive(Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Value(String),
}

impl Template {
    /// Reads it, or says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let (name, after) = brace
                    .strip_prefix('{')
                    .and_then(|inner| inner.split_once('}'))
                    .ok_or(
                        "a brace without the other one; write {{ or }} for a brace to be seen",
                    )?;
                check_name(name)?;
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Value(name.to_owned()));
                rest = after;
            }
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    /// Whether there are values in it.
    pub(crate) fn changes(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Value(_)))
    }

    /// The text as it is now, `missing` for what is not set.
    pub(crate) fn text(&self, missing: &str) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Value(name) => match value(name) {
                    Some(bytes) => text.push_str(String::from_utf8_lossy(&bytes).trim()),
                    None => text.push_str(missing),
                },
            }
        }
        text
    }
}

/// Names are those that an address can have, as they are.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !name.is_empty() && name.len() <= 60 && name.chars().all(fits) {
        true => Ok(()),
        false => Err(
            "a value's name has 1 to 60 letters of English, digits, `-`, `_` and `.`, as in {temperature}"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_stand_for_values_and_doubled_ones_for_themselves() {
        let template = Template::parse("{{a}} {one}, {two}!").unwrap();
        assert!(template.changes());
        assert_eq!(template.text("?"), "{a} ?, ?!");
        kv::set("value/one", b" 21.5\n").unwrap();
        kv::set("value/two", "°C".as_bytes()).unwrap();
        assert_eq!(template.text("?"), "{a} 21.5, °C!");
        assert!(!Template::parse("plain").unwrap().changes());
    }

    #[test]
    fn what_is_no_template_says_what_to_write() {
        for wrong in [
            "{", "}", "a {b", "a b}", "{}", "{a b}", "{a/b}", "{é}", "{{{", "{a}}",
        ] {
            let error = Template::parse(wrong).expect_err(wrong);
            assert!(error.contains('{'), "{wrong}: {error}");
        }
    }
}
