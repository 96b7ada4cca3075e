use super::Plugins;

/// What values are called in the store of a plugin.
const PREFIX: &str = "value/";
/// Bytes of a name, and of a value.
const NAME_MOST: usize = 60;
const VALUE_MOST: usize = 16 << 10;

/// Why a value wasn't set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// A name that not every address and every text could have.
    #[error(
        "a value's name has 1 to {NAME_MOST} letters of English, digits, `-`, `_` and `.`, as in temperature"
    )]
    Name,
    /// It is too long.
    #[error("a value has at most {VALUE_MOST} bytes")]
    TooLong,
    /// Nobody would see it.
    #[error(
        "no plugin takes values: load overlay-text.wasm, or one that stores something and has the grant `kv`"
    )]
    NoPlugin,
    /// A store is full.
    #[error("plugin {plugin} can't store it: {why}")]
    Store {
        /// The plugin's name.
        plugin: String,
        /// The limit that was hit.
        why: String,
    },
}

impl BadValue {
    /// The longest value in bytes.
    pub const VALUE_MOST: usize = VALUE_MOST;
}

impl Plugins {
    /// Sets a value for every plugin that stores something and may, or deletes it. Each finds it in its store (`kv`),
    /// where its key is `value/` and the name: it survives reloads, and restarts of the host where the store does.
    ///
    /// # Errors
    /// If there is no such name, value or plugin, or a store is full; those before that one have the value then.
    pub fn set_value(&self, name: &str, value: Option<&[u8]>) -> Result<(), BadValue> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > NAME_MOST || !name.chars().all(fits) {
            return Err(BadValue::Name);
        }
        if value.is_some_and(|value| value.len() > VALUE_MOST) {
            return Err(BadValue::TooLong);
        }
        let key = format!("{PREFIX}{name}");
        let lineup = self.lineup();
        let generations = lineup
            .plugins
            .iter()
            .map(|plugin| plugin.worker.generation());
        let mut taken = false;
        for generation in generations.filter(|generation| generation.stores) {
            taken = true;
            let stored = generation.shared.change(|store| match value {
                Some(value) => store.set(key.clone(), value.to_vec()),
                None => {
                    store.delete(&key);
                    Ok(())
                }
            });
            stored.map_err(|why| BadValue::Store {
                plugin: generation.name.to_string(),
                why,
            })?;
        }
        match taken {
            true => Ok(()),
            false => Err(BadValue::NoPlugin),
        }
    }
}
