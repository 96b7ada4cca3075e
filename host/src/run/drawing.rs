//! Who draws on the stream's pictures, and where viewers see it.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::{
    config::{Overlay, Stream},
    live::Live,
    overlay::{self, Artist, Board, Burner, Fonts, Masks},
    picture::Canvas,
    plugin::{Painter, Plugins},
    source::{self, Source, Wanted},
    studio::{Retouch, transcode},
    time::Monotonic,
};

/// Opens the stream's source, with masks and drawings in its pictures where they are encoded here, and lets them be
/// encoded here where that is wanted, or where a mask would else not be seen.
///
/// # Errors
/// If it can't be opened, or a font can't be read.
pub(super) async fn open(
    stream: &Stream,
    wanted: &Wanted,
    plugins: &Arc<Plugins>,
) -> anyhow::Result<Source> {
    let fonts = Fonts::load(&stream.fonts)?;
    let encode = !stream.masks.is_empty() || stream.overlay == Overlay::Transcode;
    let source = source::open(&stream.source, wanted, retouch(stream, plugins, &fonts)?).await;
    let source = match source {
        Ok(source) => source,
        // A camera that gives encoded pictures only is refused where a mask is on all of them, and can be transcoded.
        Err(error) if encode => {
            tracing::debug!("no pictures that can be drawn on at once: {error:#}");
            let optional = retouch(stream, plugins, &fonts)?
                .map(|retouch| Box::new(Optional(retouch)) as Box<dyn Retouch>);
            source::open(&stream.source, wanted, optional).await?
        }
        Err(error) => return Err(error),
    };
    let source = match encode && !source.encoded_here {
        true => transcode::open(source, wanted, retouch(stream, plugins, &fonts)?)?,
        false => source,
    };
    Ok(source)
}

/// Changes pictures where they are encoded here, and lets those pass that come encoded.
struct Optional(Box<dyn Retouch>);

impl Retouch for Optional {
    fn retouch(&mut self, picture: &mut Canvas, captured: Monotonic) {
        self.0.retouch(picture, captured);
    }
}

/// What is to be changed in pictures before they are encoded, if anything.
fn retouch(
    stream: &Stream,
    plugins: &Arc<Plugins>,
    fonts: &Fonts,
) -> anyhow::Result<Option<Box<dyn Retouch>>> {
    let mut all: Vec<Box<dyn Retouch>> = Vec::new();
    // Below the drawings, which may say what is hidden here.
    if !stream.masks.is_empty() {
        all.push(Box::new(Masks(stream.masks.clone())));
    }
    let artists: Vec<_> = Painter::all(plugins)
        .into_iter()
        .map(|painter| (painter.name(), Arc::new(painter) as Arc<dyn Artist>))
        .collect();
    if !artists.is_empty() {
        let patience = overlay::patience(stream.fps);
        let burner = Burner::new(artists, fonts, patience, &Handle::current())?;
        all.push(Box::new(burner));
    }
    Ok((!all.is_empty()).then(|| Box::new(all) as Box<dyn Retouch>))
}

/// Says where the drawings of plugins are seen, if there are any, and lets those that the page shows follow the pictures.
pub(super) fn show(source: &Source, plugins: &Arc<Plugins>, live: &Live) -> Option<Arc<Board>> {
    let painters = Painter::all(plugins);
    if painters.is_empty() {
        return None;
    }
    let names: Vec<_> = painters.iter().map(Painter::name).collect();
    let names = names.join(" and ");
    if source.encoded_here {
        tracing::info!("what plugin {names} draws is in the pictures, since they are encoded here");
        return None;
    }
    tracing::info!(
        "what plugin {names} draws is shown by the page at /, over the video: pictures pass through as the camera encoded \
         them, so other players, and the full screen of an iPhone, show them without it; `overlay = \"transcode\"` puts it \
         into the pictures, at the price of decoding and encoding them"
    );
    let board = Arc::new(Board::new(painters.len()));
    for (layer, painter) in painters.into_iter().enumerate() {
        tokio::spawn(overlay::follow(
            painter,
            live.frames(),
            board.clone(),
            layer,
        ));
    }
    Some(board)
}
