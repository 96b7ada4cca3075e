use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    device::Node,
    knobs::{self, CameraControl, ControlError},
};

/// The controls of a camera that runs, by any thread. What is set here stays set when the camera is opened anew.
#[derive(Clone, Debug)]
pub struct CameraControls {
    path: PathBuf,
    /// By name, in the order in which they are to be set.
    kept: Arc<Mutex<Vec<(String, String)>>>,
}

/// Why controls can't be listed or set.
#[derive(Debug, thiserror::Error)]
pub enum PanelError {
    /// The camera isn't there, or says no.
    #[error("{0}")]
    Camera(String),
    /// What was asked for can't be.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl CameraControls {
    /// Of the camera at `path`, with what it is set to when it is opened.
    pub(super) fn new(path: &Path, kept: Vec<(String, String)>) -> Self {
        Self {
            path: path.to_owned(),
            kept: Arc::new(Mutex::new(kept)),
        }
    }

    /// What to set when the camera is opened.
    pub(super) fn kept(&self) -> Vec<(String, String)> {
        self.lock().clone()
    }

    /// All of them, as they are now. Waits for the camera.
    pub fn list(&self) -> Result<Vec<CameraControl>, PanelError> {
        Ok(knobs::list(self.open()?.fd.as_fd()))
    }

    /// Sets one, now and whenever the camera is opened. Waits for the camera.
    pub fn set(&self, name: &str, value: &str) -> Result<(), PanelError> {
        let node = self.open()?;
        let controls = knobs::list(node.fd.as_fd());
        let name = knobs::set(node.fd.as_fd(), &controls, name, value)?;
        tracing::info!("{}: {name} is set to {value}", self.path.display());
        let mut kept = self.lock();
        kept.retain(|(known, _)| !knobs::same(known, &name));
        kept.push((name, value.to_owned()));
        Ok(())
    }

    fn open(&self) -> Result<Node, PanelError> {
        Node::open(&self.path).map_err(|error| PanelError::Camera(error.to_string()))
    }

    // Nobody can have left it half changed.
    fn lock(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
