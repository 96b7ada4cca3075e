//! Names of functions, short enough to travel with a plugin.

use rustc_demangle::demangle;

/// A trap is found by the beginning of a name; generic code can have names of a kilobyte.
const LONGEST: usize = 100;

/// The name as people write it, with functions named by the last two elements of their path and types by the last one:
/// `<picam_plugin::m3u8::Writer as core::ops::drop::Drop>::drop` is `<Writer as Drop>::drop`.
pub fn readable(mangled: &str) -> String {
    let name = format!("{:#}", demangle(mangled));
    let mut out = String::new();
    let mut depth = 0u32;
    // Where in `out` the path, and where the identifier of it, begins that is being written.
    let (mut path, mut identifier) = (0, 0);
    let mut rest = name.as_str();
    while let Some(character) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("::") {
            let leads_on = after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            let follows = identifier < out.len();
            match (leads_on && follows, depth) {
                (true, 0) => {
                    out.replace_range(path..identifier, "");
                    out.push_str("::");
                }
                (true, _) => out.truncate(identifier),
                (false, _) => {
                    out.push_str("::");
                    path = out.len();
                }
            }
            identifier = out.len();
            rest = after;
            continue;
        }
        match character {
            '<' => depth += 1,
            // The arrow of a function's type closes nothing.
            '>' if !out.ends_with('-') => depth = depth.saturating_sub(1),
            _ => {}
        }
        out.push(character);
        if !(character.is_alphanumeric() || character == '_') {
            (path, identifier) = (out.len(), out.len());
        }
        rest = &rest[character.len_utf8()..];
    }
    if let Some((end, _)) = out.char_indices().nth(LONGEST) {
        out.truncate(end);
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn types_are_named_by_the_end_of_their_path() {
        for (name, short) in [
            ("main", "main"),
            ("ll_hls::start", "ll_hls::start"),
            ("picam_plugin::bindings::playlist::_rt::lift", "_rt::lift"),
            (
                "ll_hls::media::hints::{closure#0}",
                "media::hints::{closure#0}",
            ),
            (
                "<alloc::raw_vec::RawVec<picam_plugin::playlist::Part>>::grow_one",
                "<RawVec<Part>>::grow_one",
            ),
            (
                "<ll_hls::LlHls as picam_plugin::playlist::Playlist>::render",
                "<LlHls as Playlist>::render",
            ),
            (
                "core::ptr::drop_in_place::<alloc::vec::Vec<alloc::string::String>>",
                "ptr::drop_in_place::<Vec<String>>",
            ),
            (
                "a::call::<<ll_hls::_::Component as p::Guest>::init::{closure#0}, fn(a::B) -> c::D>::x::y",
                "a::call::<<Component as Guest>::init::{closure#0}, fn(B) -> D>::x::y",
            ),
            (
                "picam:plugin/playlist@0.1.0#render",
                "picam:plugin/playlist@0.1.0#render",
            ),
        ] {
            assert_eq!(readable(name), short);
        }
    }

    #[test]
    fn mangled_names_are_read() {
        assert_eq!(
            readable(
                "_RNvXs0_CsjKP9BxAs1dd_6ll_hlsNtB5_5LlHlsNtNtCsbhBD5934otx_12picam_plugin8playlist8Playlist6render"
            ),
            "<LlHls as Playlist>::render"
        );
    }

    #[test]
    fn no_name_is_long() {
        let name = readable(&"ä".repeat(300));
        assert_eq!(name, "ä".repeat(100) + "…");
    }
}
