use super::Hook;

/// What viewers get where a plugin fails, as far as that is a matter of taste. What isn't set is the default.
///
/// Who may watch is none: where `auth` fails, nobody is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailurePolicy {
    /// Instead of a document.
    pub playlist: Option<PlaylistFailure>,
    /// Instead of a name.
    pub naming: Option<NamingFailure>,
    /// Instead of a drawing.
    pub overlay: Option<OverlayFailure>,
}

/// What there is instead of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlaylistFailure {
    /// The last good one, for as long as a cache might keep it (RFC 5861); then 503.
    #[default]
    StaleIfError,
    /// 503 at once.
    Unavailable,
}

/// What an object is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamingFailure {
    /// As the built-in numbering calls it.
    #[default]
    Number,
    /// By a random number of 128 bits: where names must not be guessed, numbers would give them away.
    Random,
}

/// What there is instead of a drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverlayFailure {
    /// The picture without it.
    #[default]
    Clear,
    /// The last one, until there is another.
    Keep,
}

impl FailurePolicy {
    /// A hook for which something is set, but which the plugin hasn't.
    pub(super) fn set_in_vain(&self, has: impl Fn(Hook) -> bool) -> Option<Hook> {
        let set = [
            (Hook::Playlist, self.playlist.is_some()),
            (Hook::Naming, self.naming.is_some()),
            (Hook::Overlay, self.overlay.is_some()),
        ];
        set.into_iter()
            .find_map(|(hook, set)| (set && !has(hook)).then_some(hook))
    }
}
