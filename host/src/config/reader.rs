//! Reads TOML key by key, so that whatever is wrong has its line, and the keys that were asked for are the ones that
//! there are.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use crate::plugin::suggest::{list, suggest};

/// What is wrong with a configuration file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    line: Option<usize>,
    message: String,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl ConfigError {
    pub(super) fn file(path: &Path, error: std::io::Error) -> Self {
        Self {
            file: path.to_owned(),
            line: None,
            message: format!("the configuration can't be read: {error}"),
        }
    }
}

/// The text, for whoever has to point at a place in it.
#[derive(Clone, Copy)]
struct Source<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn error(&self, span: Range<usize>, message: String) -> ConfigError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        ConfigError {
            file: self.file.to_owned(),
            line: Some(before.matches('\n').count() + 1),
            message,
        }
    }

    /// What was written, cut where it gets long.
    fn written(&self, span: Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        match line.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line.to_owned(),
        }
    }
}

/// A table that is being read. Ask for each key that there is, then [`end`](Section::end).
pub(super) struct Section<'a> {
    source: Source<'a>,
    /// As in `[stream]`; empty for the file itself.
    name: String,
    /// Where it is.
    span: Range<usize>,
    table: DeTable<'a>,
    /// Keys that were asked for.
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The file itself.
    pub(super) fn root(file: &'a Path, text: &'a str) -> Result<Self, ConfigError> {
        let source = Source { file, text };
        let table = DeTable::parse(text).map_err(|error| {
            source.error(error.span().unwrap_or(0..0), error.message().to_owned())
        })?;
        Ok(Self {
            source,
            name: String::new(),
            span: 0..0,
            table: table.into_inner(),
            known: Vec::new(),
        })
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// The value of a key, if it is there.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        read: fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let source = self.source;
        self.take(key)
            .map(|value| scalar(source, key, &value, read))
            .transpose()
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: fn(&str) -> Result<T, String>,
        example: &str,
    ) -> Result<T, ConfigError> {
        let value = self.value(key, read)?;
        value.ok_or_else(|| {
            // A misspelt key is the likelier reason, and the better message.
            let message = match self
                .table
                .keys()
                .find_map(|found| Some((found, suggest(found.get_ref(), [key])?)))
            {
                Some((found, _)) => format!(
                    "there is no key `{}` in {}; did you mean `{key}`?",
                    found.get_ref(),
                    self.name
                ),
                None => format!(
                    "{} needs the key `{key}`, as in {key} = {example}",
                    self.name
                ),
            };
            self.source.error(self.span.clone(), message)
        })
    }

    /// The values of a key, if it is there: a list, or a single one.
    pub(super) fn values<T>(
        &mut self,
        key: &'static str,
        read: fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let source = self.source;
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let values = match value.get_ref() {
            DeValue::Array(values) => values
                .iter()
                .map(|value| scalar(source, key, value, read))
                .collect(),
            _ => scalar(source, key, &value, read).map(|value| vec![value]),
        };
        values.map(Some)
    }

    /// Whether a key is there, and holds a table.
    pub(super) fn is_table(&self, key: &str) -> bool {
        let value = self.table.get(key).map(Spanned::get_ref);
        matches!(value, Some(DeValue::Table(_)))
    }

    /// A table in this one, if it is there.
    pub(super) fn section(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Section<'a>>, ConfigError> {
        let name = match self.name.trim_matches(['[', ']']) {
            "" => format!("[{key}]"),
            parent => format!("[{parent}.{key}]"),
        };
        self.take(key)
            .map(|value| self.open(value, name))
            .transpose()
    }

    /// The tables of a list of tables: none if the key isn't there.
    pub(super) fn sections(&mut self, key: &'static str) -> Result<Vec<Section<'a>>, ConfigError> {
        let name = match self.name.trim_matches(['[', ']']) {
            "" => format!("[[{key}]]"),
            parent => format!("[[{parent}.{key}]]"),
        };
        let Some(value) = self.take(key) else {
            return Ok(Vec::new());
        };
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(tables) => self.open_all(tables, &name),
            _ => Err(self.source.error(
                span,
                format!("`{key}` is a list of tables; write {name} above each of them"),
            )),
        }
    }

    fn open_all(&self, tables: DeArray<'a>, name: &str) -> Result<Vec<Section<'a>>, ConfigError> {
        tables
            .into_iter()
            .map(|table| self.open(table, name.to_owned()))
            .collect()
    }

    fn open(&self, value: Spanned<DeValue<'a>>, name: String) -> Result<Section<'a>, ConfigError> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Ok(Section {
                source: self.source,
                name,
                span,
                table,
                known: Vec::new(),
            }),
            _ => Err(self.source.error(
                span,
                format!("here should be a table; write {name} above its keys"),
            )),
        }
    }

    /// An error about the table as a whole.
    pub(super) fn error(&self, message: String) -> ConfigError {
        self.source.error(self.span.clone(), message)
    }

    /// All keys with their values as text, in the order in which they were written: for keys that somebody else knows.
    pub(super) fn pairs(self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut entries: Vec<_> = self.table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .map(|(key, value)| match plain(value.get_ref()) {
                Some(text) => Ok((key.into_inner().into_owned(), text)),
                None => Err(self.source.error(
                    value.span(),
                    format!(
                        "`{}` in {} is {}; only text, numbers, true and false can stand there",
                        key.get_ref(),
                        self.name,
                        value.get_ref().type_str()
                    ),
                )),
            })
            .collect()
    }

    /// No other key may be here. `elsewhere` names other tables and their keys, for those who wrote one of them here.
    pub(super) fn end(self, elsewhere: &[(&str, &[&str])]) -> Result<(), ConfigError> {
        let Some(key) = self.table.keys().min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let wrong = key.get_ref().as_ref();
        let place = match self.name.as_str() {
            "" => String::new(),
            name => format!(" in {name}"),
        };
        let home = elsewhere.iter().find(|(_, keys)| keys.contains(&wrong));
        let meant = suggest(wrong, self.known.iter().copied());
        let help = match (home, meant) {
            (Some((table, _)), _) => format!("it belongs below {table}"),
            (None, Some(meant)) => format!("did you mean `{meant}`?"),
            (None, None) => format!("there are {}", list(self.known.iter().copied())),
        };
        let message = format!("there is no key `{wrong}`{place}; {help}");
        Err(self.source.error(key.span(), message))
    }
}

/// Text, or a number as text. `None` for what has parts, and for times.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn scalar<T>(
    source: Source<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    read: fn(&str) -> Result<T, String>,
) -> Result<T, ConfigError> {
    // Text that reads well by accident (`source = true`) isn't what was asked for, and says so where it is used.
    let read = match plain(value.get_ref()) {
        Some(text) => read(&text),
        None => read(""),
    };
    read.map_err(|expected| {
        let written = source.written(value.span());
        source.error(value.span(), format!("`{key}` is {written}; {expected}"))
    })
}
