//! What is drawn on the picture: drawings, when they hold, and the two ways in which viewers see them.
//!
//! An [`Artist`] draws when a picture comes that its last drawing doesn't hold for. Artists stack in order: what later ones
//! draw lies above.
//!
//! On pictures that are encoded here, a [`Burner`] lays drawings over each picture before that: a [`Raster`] turns
//! operations into tiles, on the artist's own thread, and the encoder's thread blends them. A picture waits a few
//! milliseconds for what is drawn on it and then goes without. [`Masks`] are filled before, whatever plugins do.
//!
//! Over pictures that come encoded the page shows them. Each artist has a [`follow`] of its own then, off the way of the
//! pictures: one who is slow is asked about fewer pictures, and delays neither them nor the others. His drawings lie in a
//! layer of the [`Board`], each with the time and the date of the picture it was made for; a drawing holds until the next one
//! in its layer.
//!
//! This room knows pictures by their times and pixels, and nothing of who draws or who looks.

mod artist;
mod board;
mod burner;
mod drawing;
mod glyphs;
mod letters;
mod mask;
mod pencil;
mod raster;
mod tile;

pub use artist::{Artist, Drawn, follow};
pub use board::{Board, Entry, Sheet};
pub use burner::{Burner, patience};
pub use drawing::{Anchor, Colour, Drawing, Operation, POSITIONS, Png, Point, SIZES};
pub use letters::Fonts;
pub use mask::{BadMask, Mask, Masks};
pub use raster::{Ground, Plate, Raster};
