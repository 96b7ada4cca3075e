//! Writes XML: a DASH MPD, for one (ISO/IEC 23009-1).
//!
//! ```
//! use picam_plugin::xml::Writer;
//!
//! let mut mpd = Writer::new();
//! mpd.element("MPD")
//!     .attribute("xmlns", "urn:mpeg:dash:schema:mpd:2011")
//!     .attribute("type", "dynamic")
//!     .duration("minBufferTime", 1_500_000)
//!     .date_time("availabilityStartTime", 1_764_033_630_123_000)
//!     .open();
//! mpd.element("Period").attribute("id", "a<b").number("start", 0);
//! mpd.element("Location").open();
//! mpd.text("live.mpd?a=1&b=2");
//! mpd.close();
//! assert_eq!(
//!     mpd.finish(),
//!     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
//!      <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"dynamic\" minBufferTime=\"PT1.5S\" \
//!      availabilityStartTime=\"2025-11-25T01:20:30.123Z\">\
//!      <Period id=\"a&lt;b\" start=\"0\"/>\
//!      <Location>live.mpd?a=1&amp;b=2</Location></MPD>",
//! );
//! ```

use crate::text;

/// The media type of an MPD.
pub const MPD_CONTENT_TYPE: &str = "application/dash+xml";

/// A document being written.
#[derive(Clone, Debug)]
pub struct Writer {
    text: String,
    open: Vec<&'static str>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// Begins a document.
    pub fn new() -> Self {
        Self::with_capacity(512)
    }

    /// Begins a document that is expected to have so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self {
            text,
            open: Vec::new(),
        }
    }

    /// An element. It is empty unless the statement ends with [`open`](Element::open).
    pub fn element(&mut self, name: &'static str) -> Element<'_> {
        self.text.push('<');
        self.text.push_str(name);
        Element {
            writer: self,
            name,
            opens: false,
        }
    }

    /// Text within the element that was opened last.
    pub fn text(&mut self, text: &str) {
        push_escaped(&mut self.text, text);
    }

    /// Closes the element that was opened last, if any is open.
    pub fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
    }

    /// Closes what is still open. The text.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }
}

/// An element whose attributes are being written. Its tag ends when this is dropped.
#[derive(Debug)]
pub struct Element<'a> {
    writer: &'a mut Writer,
    name: &'static str,
    opens: bool,
}

impl Element<'_> {
    /// An attribute.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        push_escaped(self.begin(name), value);
        self.end()
    }

    /// A whole number.
    pub fn number(mut self, name: &str, value: u64) -> Self {
        text::push_whole(self.begin(name), value);
        self.end()
    }

    /// An `xs:duration`, given in microseconds.
    pub fn duration(mut self, name: &str, micros: u64) -> Self {
        text::push_duration(self.begin(name), micros);
        self.end()
    }

    /// Seconds as a decimal number, given in microseconds.
    pub fn seconds(mut self, name: &str, micros: u64) -> Self {
        text::push_seconds(self.begin(name), micros);
        self.end()
    }

    /// An `xs:dateTime`, given in microseconds since 1970 and cut to milliseconds.
    pub fn date_time(mut self, name: &str, unix_micros: u64) -> Self {
        text::push_date_time(self.begin(name), unix_micros);
        self.end()
    }

    /// Leaves the element open: what follows is within, until [`Writer::close`].
    pub fn open(mut self) {
        self.opens = true;
    }

    fn begin(&mut self, name: &str) -> &mut String {
        let text = &mut self.writer.text;
        text.push(' ');
        text.push_str(name);
        text.push_str("=\"");
        text
    }

    fn end(self) -> Self {
        self.writer.text.push('"');
        self
    }
}

impl Drop for Element<'_> {
    fn drop(&mut self) {
        if self.opens {
            self.writer.text.push('>');
            self.writer.open.push(self.name);
        } else {
            self.writer.text.push_str("/>");
        }
    }
}

/// Appends text as it may stand in an element or in an attribute. Also right for HTML. Characters that XML can't hold
/// (control characters, U+FFFE, U+FFFF) become U+FFFD; line breaks and tabs survive in attributes, too.
///
/// ```
/// let mut out = String::new();
/// picam_plugin::xml::push_escaped(&mut out, "<a href=\"?b&c\">\u{0}");
/// assert_eq!(out, "&lt;a href=&quot;?b&amp;c&quot;&gt;\u{fffd}");
/// ```
pub fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // As they are, a parser would make spaces of them in attributes (XML 1.0, 3.3.3).
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_closed_in_order_and_nothing_more() {
        let mut xml = Writer::new();
        xml.close();
        xml.element("a").open();
        xml.element("b").open();
        xml.element("c");
        xml.close();
        xml.element("d").open();
        let text = xml.finish();
        let (_, body) = text.split_once('\n').unwrap();
        assert_eq!(body, "<a><b><c/></b><d></d></a>");
    }
}
