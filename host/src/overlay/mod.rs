//! What is drawn on the picture: drawings, when they hold, and which of them viewers may still need.
//!
//! An [`Artist`] draws when a picture comes that its last drawing doesn't hold for. Each has a [`follow`] of its own, off
//! the way of the pictures: one who is slow is asked about fewer pictures, and delays neither them nor the others. His
//! drawings lie in a layer of the [`Board`], each with the time and the date of the picture it was made for; a drawing
//! holds until the next one in its layer. Artists stack in order: later layers lie above earlier ones.
//!
//! This room knows pictures by their times alone, and nothing of who draws or who looks.

mod artist;
mod board;
mod drawing;

pub use artist::{Artist, Drawn, follow};
pub use board::{Board, Entry, Sheet};
pub use drawing::{Anchor, Colour, Drawing, Operation, Png, Point};
