//! The `naming` hook: addresses of init segments, segments and parts.

use crate::Plugin;
pub use crate::bindings::naming::exports::picam::plugin::naming::{Kind, Object};

/// Names the media objects of a stream.
///
/// A name is a relative path of at most 200 bytes, made of unreserved characters (RFC 3986: letters, digits, `-._~`) and
/// `/`, without empty, `.` or `..` elements, and no two objects have the same. The host checks all of it, and numbers
/// what is named wrongly itself, with a warning.
///
/// ```
/// use picam_plugin::{naming::*, text, Config, Description, Plugin};
///
/// struct Plain;
///
/// impl Plugin for Plain {
///     fn describe() -> Description {
///         Description::new("plain", "1.0.0", "names that say what they are")
///     }
///
///     fn start(_config: &Config) -> Result<Self, String> {
///         Ok(Self)
///     }
/// }
///
/// impl Naming for Plain {
///     fn name(&mut self, object: &Object) -> String {
///         let mut name = text::joined(&[object.kind.word(), "/"]);
///         text::push_whole(&mut name, object.number);
///         name.push_str(object.kind.extension());
///         name
///     }
///
///     fn segment_template(&self, _rendition: &str) -> Option<String> {
///         Some("segment/$Number$.m4s".into())
///     }
/// }
///
/// picam_plugin::export!(Plain: naming);
///
/// let object = Object { kind: Kind::Part, rendition: "video".into(), number: 7, captured: 0 };
/// assert_eq!(Plain.name(&object), "part/7.m4s");
/// ```
pub trait Naming: Plugin {
    /// The name of an object, which may not exist yet: players are told of the next part beforehand. Called once per
    /// object.
    fn name(&mut self, object: &Object) -> String;

    /// A DASH template with `$Number$` that gives the same segment names as [`name`](Self::name). Without one, a DASH
    /// playlist can't be had beside this plugin, which the host says at start.
    fn segment_template(&self, rendition: &str) -> Option<String> {
        let _ = rendition;
        None
    }
}

impl Kind {
    /// `init`, `segment` or `part`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Segment => "segment",
            Self::Part => "part",
        }
    }

    /// How files of this kind are called (ISO/IEC 23000-19): `.mp4` or `.m4s`.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Init => ".mp4",
            Self::Segment | Self::Part => ".m4s",
        }
    }
}
