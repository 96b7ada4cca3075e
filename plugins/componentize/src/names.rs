//! Names of functions, short enough to travel with a plugin.

use rustc_demangle::demangle;

/// A trap is found by the beginning of a name; generic code can have names of a kilobyte.
const LONGEST: usize = 100;

/// The name as people write it, with types named by the last element of their path:
/// `<picam_plugin::m3u8::Writer as core::ops::drop::Drop>::drop` is `<Writer as Drop>::drop`.
pub fn readable(mangled: &str) -> String {
    let name = format!("{:#}", demangle(mangled));
    let mut out = String::new();
    let mut depth = 0u32;
    // Where in `out` the identifier begins that is being written.
    let mut identifier = 0;
    let mut rest = name.as_str();
    while let Some(character) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("::") {
            let leads_on = after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            if depth > 0 && leads_on && identifier < out.len() {
                out.truncate(identifier);
            } else {
                out.push_str("::");
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
            identifier = out.len();
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
            ("ll_hls::media::hints", "ll_hls::media::hints"),
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
                "core::ptr::drop_in_place::<Vec<String>>",
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
