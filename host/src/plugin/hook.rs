/// A decision that a plugin may take. A component exports one or several, each as an interface of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Timing and documents.
    Playlist,
    /// Names of media objects.
    Naming,
    /// Who may watch.
    Auth,
    /// What is drawn on the picture.
    Overlay,
}

impl Hook {
    /// All that the contract has.
    pub const ALL: [Self; 4] = [Self::Playlist, Self::Naming, Self::Auth, Self::Overlay];

    /// Name of its interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::Playlist => "playlist",
            Self::Naming => "naming",
            Self::Auth => "auth",
            Self::Overlay => "overlay",
        }
    }
}
