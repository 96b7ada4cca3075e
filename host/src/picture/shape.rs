//! Round shapes with smooth edges, drawn by how far each pixel's middle is from them.

use super::{Canvas, Color, Rect};

/// A line with round ends; a disc where both ends are one point. Lengths in pixels, pixel 0 from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    /// One end.
    pub from: (f32, f32),
    /// The other end.
    pub to: (f32, f32),
    /// Half of the thickness.
    pub radius: f32,
}

impl Stroke {
    /// A filled circle.
    pub fn disc(center: (f32, f32), radius: f32) -> Self {
        Self {
            from: center,
            to: center,
            radius,
        }
    }

    /// Every pixel that drawing it can change.
    pub fn bounds(&self) -> Rect {
        let reach = self.radius + 1.0;
        let span = |a: f32, b: f32| {
            let start = (a.min(b) - reach).floor();
            (start as i32, ((a.max(b) + reach).ceil() - start) as i32)
        };
        let (x, width) = span(self.from.0, self.to.0);
        let (y, height) = span(self.from.1, self.to.1);
        Rect {
            x,
            y,
            width,
            height,
        }
    }

    /// Draws it.
    pub fn draw(&self, canvas: &mut Canvas, color: Color) {
        let (dx, dy) = (self.to.0 - self.from.0, self.to.1 - self.from.1);
        // A disc has no direction: any divisor will do, as long as it isn't zero.
        let length_squared = (dx * dx + dy * dy).max(f32::EPSILON);
        canvas.paint(self.bounds(), color, |x, y| {
            let (px, py) = (x as f32 + 0.5 - self.from.0, y as f32 + 0.5 - self.from.1);
            let along = ((px * dx + py * dy) / length_squared).clamp(0.0, 1.0);
            let (ox, oy) = (px - along * dx, py - along * dy);
            coverage(self.radius, (ox * ox + oy * oy).sqrt())
        });
    }
}

/// Draws a circle of the given thickness, `radius` to the middle of the line.
pub(super) fn ring(
    canvas: &mut Canvas,
    center: (f32, f32),
    radius: f32,
    thickness: f32,
    color: Color,
) {
    let bounds = Stroke::disc(center, radius + thickness / 2.0).bounds();
    canvas.paint(bounds, color, |x, y| {
        let (px, py) = (x as f32 + 0.5 - center.0, y as f32 + 0.5 - center.1);
        coverage(thickness / 2.0, ((px * px + py * py).sqrt() - radius).abs())
    });
}

/// How much of a pixel lies within `radius`, its middle being `distance` away.
fn coverage(radius: f32, distance: f32) -> u8 {
    ((radius - distance + 0.5).clamp(0.0, 1.0) * 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Size;

    #[test]
    fn a_disc_covers_its_area_and_stays_in_its_bounds() {
        let size = Size::new(64, 64).unwrap();
        let disc = Stroke::disc((31.3, 30.8), 12.0);
        let mut canvas = Canvas::new(size, Color::BLACK);
        disc.draw(&mut canvas, Color::WHITE);
        let covered: f32 = canvas
            .luma()
            .iter()
            .map(|&y| f32::from(y - 16) / 219.0)
            .sum();
        let area = std::f32::consts::PI * 12.0 * 12.0;
        assert!((covered / area - 1.0).abs() < 0.02, "{covered} of {area}");

        let blank = Canvas::new(size, Color::BLACK);
        canvas.copy_from(&blank, disc.bounds());
        assert_eq!(canvas.luma(), blank.luma());
    }
}
