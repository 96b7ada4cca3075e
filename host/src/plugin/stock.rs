//! The plugins that the binary brings along.

/// Name and component of each.
pub(super) const ALL: &[(&str, &[u8])] = &[];
