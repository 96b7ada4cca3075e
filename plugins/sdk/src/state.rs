//! State that survives a swap of the plugin.

use crate::Plugin;

/// What must survive a swap. Without it a new generation starts afresh, which suits most plugins; for what should survive
/// a crash as well there is [`kv`](crate::kv).
///
/// ```
/// use picam_plugin::{Config, Description, Plugin, State};
///
/// struct Counting(u64);
///
/// impl Plugin for Counting {
///     fn describe() -> Description {
///         Description::new("counting", "1.0.0", "goes on counting where its predecessor stopped")
///     }
///
///     fn start(_config: &Config) -> Result<Self, String> {
///         Ok(Self(0))
///     }
/// }
///
/// impl State for Counting {
///     fn save(&mut self) -> Vec<u8> {
///         self.0.to_le_bytes().into()
///     }
///
///     fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
///         let saved = saved.try_into().map_err(|_| "a count has eight bytes")?;
///         self.0 = u64::from_le_bytes(saved);
///         Ok(())
///     }
/// }
///
/// let saved = Counting(7).save();
/// let mut next = Counting(0);
/// next.restore(&saved).unwrap();
/// assert_eq!(next.0, 7);
/// assert!(next.restore(b"garbage").is_err());
/// ```
pub trait State: Plugin {
    /// Called on the old generation once the new one is ready. At most 1 MiB.
    fn save(&mut self) -> Vec<u8>;

    /// Called on the new generation after its start, with what the old one saved: perhaps by an older or a newer version,
    /// so it is not to be trusted.
    ///
    /// # Errors
    /// One line for the log. The plugin then runs without.
    fn restore(&mut self, saved: &[u8]) -> Result<(), String>;
}
