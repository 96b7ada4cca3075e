use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Operation, Png};
use crate::{
    live::Frame,
    time::{MediaTime, Wall},
};

/// How far behind the newest picture somebody may be who comes and wants to know what holds.
const LOOK_BACK: Duration = Duration::from_secs(20);

/// Bytes of text that a layer's entries may have together, and of different images. The newest stays, whatever it has.
const LAYER_TEXT: usize = 512 << 10;
const LAYER_IMAGES: usize = 2 << 20;

/// Where drawings lie, layer by layer, for everybody to see.
///
/// It changes all at once: who looks has a [`Sheet`], which stays what it is.
#[derive(Debug)]
pub struct Board {
    sheet: watch::Sender<Arc<Sheet>>,
    /// Held while the next sheet is made from the last one.
    change: Mutex<()>,
}

/// All drawings that may still be needed, at one time.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Grows with every change, and begins with the clock, so that it never means something else after a restart.
    pub version: u64,
    /// Bottom first; in each, drawings oldest first. A drawing holds until the next one in its layer.
    pub layers: Vec<Arc<VecDeque<Arc<Entry>>>>,
}

/// A drawing, made for a picture.
#[derive(Debug)]
pub struct Entry {
    /// Of the sheet with which it came.
    pub version: u64,
    /// Presentation time of the picture for which it was made, from which on it holds.
    pub time: MediaTime,
    /// What to draw.
    pub operations: Vec<Operation>,
    /// As JSON, for the page: `time` (microseconds), `date` (of the picture, as the playlist dates it: milliseconds since
    /// 1970), `operations`.
    pub json: Bytes,
}

#[derive(serde::Serialize)]
struct Json<'a> {
    time: u64,
    date: f64,
    operations: &'a [Operation],
}

impl Board {
    /// A board with so many empty layers.
    pub fn new(layers: usize) -> Self {
        Self {
            sheet: watch::Sender::new(Arc::new(Sheet {
                version: Wall::now().0,
                layers: vec![Arc::default(); layers],
            })),
            change: Mutex::default(),
        }
    }

    /// The drawings as they are now, and word of every change.
    pub fn watch(&self) -> watch::Receiver<Arc<Sheet>> {
        self.sheet.subscribe()
    }

    /// The drawings as they are now.
    pub fn sheet(&self) -> Arc<Sheet> {
        self.sheet.borrow().clone()
    }

    /// Adds a drawing to a layer, made for this picture.
    pub fn put(&self, layer: usize, frame: &Frame, operations: Vec<Operation>) {
        let json = serde_json::to_vec(&Json {
            time: frame.time.0,
            date: frame.date.0 as f64 / 1_000.0,
            operations: &operations,
        })
        .expect("numbers and text can be written as JSON");
        // What it guards is the order of things, which no panic upsets.
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sheet = Sheet::clone(&self.sheet());
        sheet.version += 1;
        let mut entries = VecDeque::clone(&sheet.layers[layer]);
        entries.push_back(Arc::new(Entry {
            version: sheet.version,
            time: frame.time,
            operations,
            json: json.into(),
        }));
        forget_old(&mut entries);
        sheet.layers[layer] = Arc::new(entries);
        self.sheet.send_replace(Arc::new(sheet));
    }
}

/// Keeps the newest entries that anybody can still need and that are not too much.
fn forget_old(entries: &mut VecDeque<Arc<Entry>>) {
    let Some(newest) = entries.back().map(|entry| entry.time) else {
        return;
    };
    let (mut text, mut images, mut seen) = (0, 0, Vec::new());
    // An entry is needed until the time of the one after it.
    let mut until = newest;
    let mut kept = 0;
    for entry in entries.iter().rev() {
        text += entry.json.len();
        for png in entry.images() {
            if !seen.contains(&Arc::as_ptr(png)) {
                seen.push(Arc::as_ptr(png));
                images += png.bytes().len();
            }
        }
        let too_much = text > LAYER_TEXT || images > LAYER_IMAGES;
        if kept > 0 && (too_much || newest.since(until) > LOOK_BACK) {
            break;
        }
        until = entry.time;
        kept += 1;
    }
    entries.drain(..entries.len() - kept);
}

impl Entry {
    fn images(&self) -> impl Iterator<Item = &Arc<Png>> {
        self.operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::Image { png, .. } => Some(png),
                _ => None,
            })
    }
}

impl Sheet {
    /// What came after a version, for the page: `version`, and `layers` of what is new in each, oldest first. Everything
    /// there is for who knows nothing, or a version that this board never had.
    pub fn since(&self, version: Option<u64>) -> Bytes {
        let known = version.filter(|&known| known <= self.version).unwrap_or(0);
        let mut text = format!("{{\"version\":{},\"layers\":[", self.version).into_bytes();
        for (n, layer) in self.layers.iter().enumerate() {
            text.extend_from_slice(if n == 0 { b"[" } else { b",[" });
            let news = layer.iter().filter(|entry| entry.version > known);
            for (n, entry) in news.enumerate() {
                if n > 0 {
                    text.push(b',');
                }
                text.extend_from_slice(&entry.json);
            }
            text.push(b']');
        }
        text.extend_from_slice(b"]}");
        text.into()
    }

    /// The image of this name in one of the drawings.
    pub fn image(&self, name: &str) -> Option<Arc<Png>> {
        // The newest ones are asked for most.
        let entries = self.layers.iter().flat_map(|layer| layer.iter().rev());
        entries
            .flat_map(|entry| entry.images())
            .find(|png| png.name() == name)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::overlay::{Anchor, Colour, Point};

    fn frame(seconds: u64) -> Frame {
        Frame {
            time: MediaTime(seconds * 1_000_000),
            captured: Wall(0),
            date: Wall(seconds * 1_000_000 + 500),
            width: 640,
            height: 360,
        }
    }

    fn line(x: i32) -> Operation {
        Operation::Line {
            from: Point(x, 0),
            to: Point(x, 1_000),
            colour: Colour([0; 4]),
            width: 1,
        }
    }

    fn read(text: &Bytes) -> Value {
        serde_json::from_slice(text).unwrap()
    }

    #[test]
    fn layers_keep_their_order_whoever_draws_first() {
        let board = Board::new(2);
        board.put(1, &frame(1), vec![line(1)]);
        board.put(0, &frame(2), vec![line(0)]);
        let sheet = board.sheet();
        let text = read(&sheet.since(None));
        assert_eq!(text["version"], sheet.version);
        let drawing = |time: u64, date: f64, x: i32| {
            let line = json!({"line": {"from": [x, 0], "to": [x, 1_000], "colour": "#00000000", "width": 1}});
            json!({"time": time, "date": date, "operations": [line]})
        };
        assert_eq!(
            text["layers"],
            json!([
                [drawing(2_000_000, 2_000.5, 0)],
                [drawing(1_000_000, 1_000.5, 1)]
            ])
        );
    }

    #[test]
    fn who_knows_a_version_gets_what_came_after_it_and_who_knows_none_everything() {
        let board = Board::new(1);
        board.put(0, &frame(1), vec![]);
        let known = board.sheet().version;
        board.put(0, &frame(2), vec![]);
        let sheet = board.sheet();
        let count = |version| {
            read(&sheet.since(version))["layers"][0]
                .as_array()
                .unwrap()
                .len()
        };
        assert_eq!(count(Some(known)), 1);
        assert_eq!(count(Some(sheet.version)), 0);
        assert_eq!(count(None), 2);
        assert_eq!(count(Some(sheet.version + 7)), 2, "of another board");
        assert_eq!(
            read(&Board::new(0).sheet().since(None))["layers"],
            json!([])
        );
    }

    #[test]
    fn what_no_viewer_can_be_looking_at_is_forgotten_and_what_holds_now_never() {
        let board = Board::new(1);
        board.put(0, &frame(0), vec![line(0)]);
        board.put(0, &frame(100), vec![line(1)]);
        // The first holds until the 100th second, so somebody 20 seconds behind still sees it.
        assert_eq!(board.sheet().layers[0].len(), 2);
        board.put(0, &frame(121), vec![]);
        assert_eq!(board.sheet().layers[0].len(), 2);
        let long = Operation::Text {
            at: Point(0, 0),
            anchor: Anchor::Top,
            content: "x".repeat(LAYER_TEXT / 3),
            size: 1,
            colour: Colour([0; 4]),
            background: None,
            outline: None,
            font: String::new(),
        };
        for n in 0..10 {
            board.put(0, &frame(122 + n), vec![long.clone()]);
        }
        assert_eq!(board.sheet().layers[0].len(), 2, "within the bytes");
        board.put(
            0,
            &frame(150),
            vec![long.clone(), long.clone(), long.clone(), long],
        );
        assert_eq!(
            board.sheet().layers[0].len(),
            1,
            "the newest, whatever its length"
        );
    }

    #[test]
    fn images_are_found_as_long_as_a_drawing_shows_them() {
        let board = Board::new(1);
        let png = Arc::new(Png::new("not looked into here".into()));
        let image = Operation::Image {
            at: Point(0, 0),
            anchor: Anchor::Centre,
            size: 100,
            png: png.clone(),
        };
        board.put(0, &frame(0), vec![line(0), image]);
        assert_eq!(board.sheet().image(png.name()), Some(png.clone()));
        assert_eq!(board.sheet().image("other.png"), None);
        board.put(0, &frame(1), vec![]);
        assert!(board.sheet().image(png.name()).is_some());
        board.put(0, &frame(50), vec![]);
        assert!(board.sheet().image(png.name()).is_none());
    }

    #[test]
    fn one_image_on_many_drawings_counts_once_and_many_are_too_much() {
        let board = Board::new(1);
        let image = |bytes: Bytes| Operation::Image {
            at: Point(0, 0),
            anchor: Anchor::Centre,
            size: 100,
            png: Arc::new(Png::new(bytes)),
        };
        let same = image(vec![0; LAYER_IMAGES / 2].into());
        for n in 0..10 {
            board.put(0, &frame(n), vec![line(n as i32), same.clone()]);
        }
        assert_eq!(board.sheet().layers[0].len(), 10);
        for n in 10..20 {
            let another = image(vec![n as u8; LAYER_IMAGES / 2].into());
            board.put(0, &frame(n), vec![another]);
        }
        assert_eq!(board.sheet().layers[0].len(), 2);
    }
}
