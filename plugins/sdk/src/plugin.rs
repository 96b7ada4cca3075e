use crate::{
    Choice, Config, Flag, Number, Words,
    bindings::lifecycle::exports::picam::plugin::lifecycle::{self, OptionHelp},
};

/// A plugin: who it is, and how it starts. One value lives as long as the instance does.
pub trait Plugin: Sized + 'static {
    /// Who it is. Called before [`start`](Self::start), with nothing granted.
    fn describe() -> Description;

    /// Starts with a configuration whose keys are among those that [`describe`](Self::describe) lists.
    ///
    /// # Errors
    /// One line for the person who wrote the configuration: the key, the value, what would be accepted.
    fn start(config: &Config) -> Result<Self, String>;
}

/// What a plugin says of itself.
#[derive(Clone, Debug)]
pub struct Description(lifecycle::Description);

impl Description {
    /// `name` as in `ll-hls`, `version` in semver, `summary` in one line.
    pub fn new(name: &str, version: &str, summary: &str) -> Self {
        Self(lifecycle::Description {
            name: name.into(),
            version: version.into(),
            summary: summary.into(),
            options: Vec::new(),
        })
    }

    /// Adds a number that the configuration may set.
    #[must_use]
    pub fn number(self, number: &Number) -> Self {
        let (default, help) = (number.default_text(), number.help_text());
        self.option(number.key, &default, &help)
    }

    /// Adds a flag that the configuration may set.
    #[must_use]
    pub fn flag(self, flag: &Flag) -> Self {
        self.option(flag.key, flag.default_text(), &flag.help_text())
    }

    /// Adds a choice that the configuration may make.
    #[must_use]
    pub fn choice<T: Copy>(self, choice: &Choice<T>) -> Self {
        self.option(choice.key, choice.default, &choice.help_text())
    }

    /// Adds free text that the configuration may set.
    #[must_use]
    pub fn words(self, words: &Words) -> Self {
        self.option(words.key, words.default, words.help)
    }

    /// Adds any other key: its default as a person would write it, and one line of help.
    #[must_use]
    pub fn option(mut self, key: &str, default: &str, help: &str) -> Self {
        self.0.options.push(OptionHelp {
            key: key.into(),
            default: default.into(),
            help: help.into(),
        });
        self
    }

    /// The record of the contract.
    pub fn into_record(self) -> lifecycle::Description {
        self.0
    }
}
