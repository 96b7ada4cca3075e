//! The publisher: takes what a source reports, keeps the presentation clock, and fills the live window.
