use std::sync::Arc;

use super::{Operation, letters::Fonts, pencil::Pencil, tile::Tile};
use crate::picture::{Canvas, Colors, Size};

/// Turns operations into pixels. What was in the last drawing is not drawn again.
pub struct Raster {
    pencil: Pencil,
    /// The last drawing.
    last: Option<Last>,
    /// How many tiles were drawn so far.
    drawn: u64,
}

struct Last {
    plate: Plate,
    operations: Vec<Operation>,
    /// One for each operation, `None` where nothing of it is to be seen; none at all if the plate is a single tile.
    tiles: Vec<Option<Arc<Tile>>>,
}

/// What is drawn on: a drawing's pixels are for pictures of one size and the same colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ground {
    /// Of the pictures.
    pub size: Size,
    /// What their samples mean.
    pub colors: Colors,
}

impl Ground {
    /// That of a picture.
    pub fn of(picture: &Canvas) -> Self {
        Self {
            size: picture.size(),
            colors: picture.colors(),
        }
    }

    /// Its pixels.
    fn pixels(self) -> usize {
        self.size.width() as usize * self.size.height() as usize
    }
}

/// A drawing's pixels.
#[derive(Clone, Debug)]
pub struct Plate {
    ground: Ground,
    /// Bottom first.
    tiles: Vec<Arc<Tile>>,
}

impl Plate {
    /// Lays it over a picture; one on another ground stays as it is.
    pub fn blend(&self, canvas: &mut Canvas) {
        if Ground::of(canvas) == self.ground {
            self.tiles.iter().for_each(|tile| tile.blend(canvas));
        }
    }

    /// What it is for.
    pub fn ground(&self) -> Ground {
        self.ground
    }
}

impl Raster {
    /// One who has drawn nothing yet.
    pub fn new(fonts: &Fonts) -> Self {
        Self {
            pencil: Pencil::new(fonts),
            last: None,
            drawn: 0,
        }
    }

    /// Draws for pictures of this kind.
    ///
    /// What can't be drawn (a broken image) is left out, and the log has it once. Whatever is asked for, a drawing has not
    /// more pixels than a picture: where its tiles had, it becomes a single one.
    pub fn draw(&mut self, ground: Ground, operations: &[Operation]) -> Plate {
        if let Some(last) = &self.last
            && last.plate.ground == ground
            && last.operations == operations
        {
            return last.plate.clone();
        }
        let tiles = self.tiles(ground, operations);
        let plate = Plate {
            ground,
            tiles: match &tiles {
                Some(tiles) => tiles.iter().flatten().cloned().collect(),
                None => {
                    self.drawn += 1;
                    let whole = self.pencil.draw_all(ground, operations);
                    whole.into_iter().map(Arc::new).collect()
                }
            },
        };
        self.pencil.forget_images(operations);
        self.last = Some(Last {
            plate: plate.clone(),
            operations: operations.to_vec(),
            tiles: tiles.unwrap_or_default(),
        });
        plate
    }

    /// A tile for each operation, those of the last drawing taken from there; `None` if they have more pixels than the
    /// picture.
    fn tiles(
        &mut self,
        ground: Ground,
        operations: &[Operation],
    ) -> Option<Vec<Option<Arc<Tile>>>> {
        let last = self.last.as_ref();
        let last = last.filter(|last| last.plate.ground == ground);
        let mut room = ground.pixels();
        let mut tiles = Vec::with_capacity(operations.len());
        for operation in operations {
            let known = last.and_then(|last| last.tile(operation));
            let tile = known.unwrap_or_else(|| {
                self.drawn += 1;
                self.pencil.draw(ground, operation).map(Arc::new)
            });
            let pixels = tile.as_ref().map_or(0, |tile| tile.area());
            room = room.checked_sub(pixels)?;
            tiles.push(tile);
        }
        Some(tiles)
    }
}

impl Last {
    fn tile(&self, operation: &Operation) -> Option<Option<Arc<Tile>>> {
        let mut pairs = self.operations.iter().zip(&self.tiles);
        pairs
            .find(|(known, _)| *known == operation)
            .map(|(_, tile)| tile.clone())
    }
}

#[cfg(test)]
mod tests;
