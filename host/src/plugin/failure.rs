use std::time::Duration;

use wasmtime::WasmBacktrace;

/// How many function names of a trap's backtrace are told: enough to see who called what, few enough for one line.
const FRAMES: usize = 4;

/// A limit that a plugin ran into.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Exceeded {
    #[error(
        "it asked for {} of memory and its limit is {}; if it needs that much, raise `memory` in its [[plugin]] table",
        mib(*.wanted),
        mib(*.limit)
    )]
    Memory { wanted: usize, limit: usize },
    #[error(
        "it used {limit:?} of processor time without coming to an end, which is its limit; if it needs longer, raise \
         `{key}` in its [[plugin]] table"
    )]
    Time { limit: Duration, key: &'static str },
    #[error(
        "its tables grew beyond {limit} entries; if it needs more, raise `table-entries` in its [[plugin]] table"
    )]
    TableEntries { limit: usize },
    #[error(
        "it returned more than {}, its limit; if it needs that much, raise `output` in its [[plugin]] table",
        mib(*.limit)
    )]
    Output { limit: usize },
}

/// Why a call of a plugin's hook has no usable answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The plugin trapped, ran out of time or memory, or said something it may not. The message tells which.
    #[error("plugin {plugin}: {cause}")]
    Failed {
        /// Name of the plugin.
        plugin: String,
        /// The whole cause chain in one line.
        cause: String,
    },
    /// The plugin has failed too often, and isn't called for now.
    #[error(
        "plugin {plugin} is not called for another {} ms, since it keeps failing: {cause}",
        retry_in.as_millis()
    )]
    Benched {
        /// Name of the plugin.
        plugin: String,
        /// When it will be started again.
        retry_in: Duration,
        /// Why it failed last.
        cause: String,
    },
    /// The generation was rolled back while the call waited for its turn. Another one serves.
    #[error("plugin {plugin} was replaced before the call's turn came")]
    RolledBack {
        /// Name of the plugin.
        plugin: String,
    },
    /// Too many calls wait for the plugin already. That is nothing it did wrong.
    #[error(
        "plugin {plugin} has more to do than it can: the call was given up before its turn came"
    )]
    Busy {
        /// Name of the plugin.
        plugin: String,
    },
}

/// A call of an import for which the configuration holds no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ungranted {
    #[error(
        "it called `{0}`, which it has not been granted; to allow it, add \"{0}\" to `grants` in its [[plugin]] table"
    )]
    Missing(&'static str),
    #[error(
        "it called `{0}` from `describe`, before any grant is in force; call it from `init` or later"
    )]
    Early(&'static str),
}

fn mib(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}

/// The whole cause chain of an error in one line, with the functions that were running where there was a trap.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let shown = backtrace.map(ToString::to_string);
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // The backtrace is a link of the chain, and many lines long.
        if Some(&text) == shown.as_ref() {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&flat(&text));
    }
    let names: Vec<_> = backtrace
        .iter()
        .flat_map(|backtrace| backtrace.frames())
        .filter_map(|frame| frame.func_name())
        .map(|name| format!("{:#}", rustc_demangle::demangle(name)))
        .take(FRAMES)
        .collect();
    if !names.is_empty() {
        line.push_str(" (in ");
        line.push_str(&names.join(" < "));
        line.push(')');
    }
    line
}

/// An error that repeats what stands in a stranger's file, as one line.
pub(super) fn flattened(error: anyhow::Error) -> anyhow::Error {
    anyhow::Error::msg(flat(&format!("{error:#}")))
}

/// Whether a call ended because it handed over more bytes than it may.
///
/// Wasmtime has no type for this error; a test notices should its text change.
pub(super) fn is_output_exhausted(error: &wasmtime::Error) -> bool {
    error
        .root_cause()
        .to_string()
        .contains("allocated for hostcalls has been exhausted")
}

/// Text of a stranger, fit for one line of a log: control characters become spaces, and it has an end.
pub(super) fn flat(text: &str) -> String {
    const LONGEST: usize = 1_000;
    let mut line = String::with_capacity(text.len().min(LONGEST));
    for word in text.split(|c: char| c.is_control() || c == ' ') {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > LONGEST {
            line.truncate(line.floor_char_boundary(LONGEST));
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_becomes_one_bounded_line() {
        assert_eq!(flat("a\n  b\x1b[31mc\t"), "a b [31mc");
        assert_eq!(flat(&"é".repeat(2_000)).chars().count(), 501);
    }

    #[test]
    fn causes_are_joined_from_the_outermost_on() {
        let error = wasmtime::Error::msg("the root\ncause").context("what we did");
        assert_eq!(one_line(&error), "what we did: the root cause");
    }
}
