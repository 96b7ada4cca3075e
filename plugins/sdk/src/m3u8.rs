//! Writes playlists as RFC 8216bis has them: one tag a line, attributes by type.
//!
//! ```
//! use picam_plugin::m3u8::Writer;
//!
//! let mut list = Writer::new();
//! list.number("EXT-X-TARGETDURATION", 2);
//! list.attributes("EXT-X-PART")
//!     .seconds("DURATION", 200_000)
//!     .quoted("URI", "part-17.mp4")
//!     .yes("INDEPENDENT", true);
//! list.extinf(1_000_000);
//! list.uri("segment-3.mp4");
//! assert_eq!(
//!     list.finish(),
//!     "#EXTM3U\n\
//!      #EXT-X-TARGETDURATION:2\n\
//!      #EXT-X-PART:DURATION=0.200,URI=\"part-17.mp4\",INDEPENDENT=YES\n\
//!      #EXTINF:1.000,\n\
//!      segment-3.mp4\n",
//! );
//! ```

use crate::text;

/// The media type of a playlist (4.1).
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";

/// A playlist being written. Tags are named without their `#`.
#[derive(Clone, Debug)]
pub struct Writer {
    text: String,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// Begins a playlist.
    pub fn new() -> Self {
        Self::with_capacity(256)
    }

    /// Begins a playlist that is expected to have so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push_str("#EXTM3U\n");
        Self { text }
    }

    /// A tag that has no value.
    pub fn tag(&mut self, name: &str) {
        self.begin(name);
        self.text.push('\n');
    }

    /// A tag whose value is a whole number.
    pub fn number(&mut self, name: &str, value: u64) {
        self.begin(name);
        self.text.push(':');
        text::push_whole(&mut self.text, value);
        self.text.push('\n');
    }

    /// A tag with an attribute list (4.2), which ends with the statement.
    pub fn attributes(&mut self, name: &str) -> Attributes<'_> {
        self.begin(name);
        Attributes {
            text: &mut self.text,
            separator: ':',
        }
    }

    /// EXTINF (4.4.4.1), exact to the microsecond.
    pub fn extinf(&mut self, micros: u64) {
        self.text.push_str("#EXTINF:");
        text::push_seconds(&mut self.text, micros);
        self.text.push_str(",\n");
    }

    /// EXT-X-PROGRAM-DATE-TIME (4.4.4.6), cut to milliseconds.
    pub fn program_date_time(&mut self, unix_micros: u64) {
        self.text.push_str("#EXT-X-PROGRAM-DATE-TIME:");
        text::push_date_time(&mut self.text, unix_micros);
        self.text.push('\n');
    }

    /// A line that is an address.
    pub fn uri(&mut self, uri: &str) {
        push_line(&mut self.text, uri);
        self.text.push('\n');
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    fn begin(&mut self, name: &str) {
        self.text.push('#');
        self.text.push_str(name);
    }
}

/// The attribute list of a tag. The line ends when this is dropped.
#[derive(Debug)]
pub struct Attributes<'a> {
    text: &'a mut String,
    separator: char,
}

impl Attributes<'_> {
    /// A decimal-integer.
    pub fn number(mut self, name: &str, value: u64) -> Self {
        text::push_whole(self.name(name), value);
        self
    }

    /// A decimal-floating-point: seconds, given in microseconds.
    pub fn seconds(mut self, name: &str, micros: u64) -> Self {
        text::push_seconds(self.name(name), micros);
        self
    }

    /// A decimal-floating-point of three decimals, given in thousandths.
    pub fn thousandths(mut self, name: &str, value: u64) -> Self {
        text::push_thousandths(self.name(name), value, 3);
        self
    }

    /// A quoted-string. What one can't hold (a quotation mark, control characters) becomes percent-encoded.
    pub fn quoted(mut self, name: &str, value: &str) -> Self {
        self.name(name).push('"');
        push_line(self.text, value);
        self.text.push('"');
        self
    }

    /// A quoted-string with a date and time, cut to milliseconds.
    pub fn date_time(mut self, name: &str, unix_micros: u64) -> Self {
        self.name(name).push('"');
        text::push_date_time(self.text, unix_micros);
        self.text.push('"');
        self
    }

    /// An enumerated-string: one of the words that the draft has for this attribute.
    pub fn word(mut self, name: &str, value: &str) -> Self {
        self.name(name).push_str(value);
        self
    }

    /// The word YES, or no attribute.
    pub fn yes(self, name: &str, value: bool) -> Self {
        if value { self.word(name, "YES") } else { self }
    }

    /// A decimal-resolution.
    pub fn resolution(mut self, name: &str, width: u32, height: u32) -> Self {
        text::push_whole(self.name(name), width.into());
        self.text.push('x');
        text::push_whole(self.text, height.into());
        self
    }

    fn name(&mut self, name: &str) -> &mut String {
        self.text.push(self.separator);
        self.separator = ',';
        self.text.push_str(name);
        self.text.push('=');
        self.text
    }
}

impl Drop for Attributes<'_> {
    fn drop(&mut self) {
        self.text.push('\n');
    }
}

/// Appends what may stand between quotation marks, and within one line: anything but `"` and control characters.
fn push_line(out: &mut String, value: &str) {
    if !value.bytes().any(forbidden) {
        out.push_str(value);
        return;
    }
    for character in value.chars() {
        match u8::try_from(character) {
            Ok(byte) if forbidden(byte) => {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
            _ => out.push(character),
        }
    }
}

fn forbidden(byte: u8) -> bool {
    byte == b'"' || byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_break_out_of_a_line_or_a_quoted_string() {
        let mut list = Writer::new();
        list.attributes("EXT-X-MAP")
            .quoted("URI", "ä\"b\r\n#EXT-X-ENDLIST\u{7f}");
        list.uri("a\nb");
        assert_eq!(
            list.finish(),
            "#EXTM3U\n#EXT-X-MAP:URI=\"ä%22b%0D%0A#EXT-X-ENDLIST%7F\"\na%0Ab\n"
        );
    }

    #[test]
    fn attributes_are_separated_by_commas_and_each_has_the_form_of_its_type() {
        let mut list = Writer::with_capacity(10);
        list.attributes("EXT-X-STREAM-INF")
            .number("BANDWIDTH", 2_000_000)
            .quoted("CODECS", "avc1.64001f,mp4a.40.2")
            .resolution("RESOLUTION", 1280, 720)
            .thousandths("FRAME-RATE", 29_970)
            .word("HDCP-LEVEL", "NONE")
            .seconds("X-SECONDS", 33_367)
            .date_time("X-DATE", 1_764_033_630_123_999)
            .yes("X-NO", false)
            .yes("X-YES", true);
        assert_eq!(
            list.finish(),
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS=\"avc1.64001f,mp4a.40.2\",\
             RESOLUTION=1280x720,FRAME-RATE=29.970,HDCP-LEVEL=NONE,X-SECONDS=0.033367,X-DATE=\"2025-11-25T01:20:30.123Z\",X-YES=YES\n"
        );
    }

    #[test]
    fn tags_without_a_value_stand_alone() {
        let mut list = Writer::default();
        list.tag("EXT-X-INDEPENDENT-SEGMENTS");
        list.program_date_time(0);
        assert_eq!(
            list.finish(),
            "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z\n"
        );
    }
}
