use std::sync::{Arc, Mutex, PoisonError};

use super::{
    Hook, OverlayFailure, Plugins, bindings::exports::picam::plugin::overlay as contract, drawing,
    instance::Instance, plugins::Lineup, worker::Fault,
};
use crate::{
    live::Frame,
    overlay::{Artist, Drawing, Drawn, Operation, Png},
};

/// One of the plugins of a host, as one who draws on its pictures.
pub struct Painter {
    plugins: Arc<Plugins>,
    index: usize,
    images: Images,
}

/// The images of the last drawing: mostly those of the next.
#[derive(Clone, Default)]
pub(super) struct Images(Arc<Mutex<Vec<Arc<Png>>>>);

impl Painter {
    /// Those of the plugins that draw, in order.
    pub fn all(plugins: &Arc<Plugins>) -> Vec<Self> {
        let lineup = plugins.lineup();
        (0..lineup.plugins.len())
            .filter(|&index| draws(&lineup, index))
            .map(|index| Self {
                plugins: plugins.clone(),
                index,
                images: Images::default(),
            })
            .collect()
    }

    /// The plugin's name.
    pub fn name(&self) -> Arc<str> {
        self.plugins.slots[self.index].name.clone()
    }
}

fn draws(lineup: &Lineup, index: usize) -> bool {
    lineup.plugins[index].worker.generation().has(Hook::Overlay)
}

impl Artist for Painter {
    fn draw(&self, frame: Frame) -> Drawn<'_> {
        Box::pin(async move {
            let painter = |lineup: &Lineup| draws(lineup, self.index).then_some(self.index);
            let subject = "a picture";
            let drawing = self.plugins.call(Hook::Overlay, subject, painter, || {
                let images = self.images.clone();
                move |instance: &mut Instance| draw(instance, frame, &images)
            });
            // Why there is none, the log has from the plugin's own thread.
            drawing.await?.ok()
        })
    }

    fn keeps_last(&self) -> bool {
        let policy = self.plugins.slots[self.index].spec.failure_policy;
        policy.overlay.unwrap_or_default() == OverlayFailure::Keep
    }

    fn edition(&self) -> u64 {
        self.plugins.lineup().plugins[self.index].number
    }
}

/// Has a picture drawn on and checks the drawing.
pub(super) fn draw(
    instance: &mut Instance,
    frame: Frame,
    images: &Images,
) -> Result<Drawing, Fault> {
    let said = instance.draw(contract::Frame {
        time: frame.time.0,
        captured: frame.captured.0,
        width: frame.width,
        height: frame.height,
    })?;
    // A thread that panicked here left at worst the images of an older drawing.
    let mut known = images.0.lock().unwrap_or_else(PoisonError::into_inner);
    let drawing = drawing::check(said, &known).map_err(Fault::Unusable)?;
    *known = drawing
        .operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::Image { png, .. } => Some(png.clone()),
            _ => None,
        })
        .collect();
    Ok(drawing)
}
