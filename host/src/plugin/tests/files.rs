//! What a change of a plugin's file does.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::*;
use crate::plugin::FileWatch;

fn saying(text: &str) -> Guest {
    let mut guest = Guest::new("swap");
    let text = guest.text(text);
    guest.render(&format!("(call $document {text} (i32.const 5))"))
}

struct Stage {
    plugins: Arc<Plugins>,
    _watch: FileWatch,
}

impl Stage {
    fn of(file: &Path) -> Self {
        let file = file.to_str().unwrap();
        let plugins = Arc::new(load(&[PluginSpec::new(file)]).unwrap());
        let watch = FileWatch::start(&plugins).unwrap();
        Self {
            plugins,
            _watch: watch.expect("there is a file"),
        }
    }

    /// Waits until so many reloads succeeded and so many were refused.
    async fn until(&self, succeeded: u64, refused: u64) {
        let began = Instant::now();
        loop {
            let reloads = status(&self.plugins).reloads;
            if (reloads.succeeded, reloads.refused) == (succeeded, refused) {
                return;
            }
            let waited = began.elapsed();
            assert!(waited < Duration::from_secs(60), "{reloads:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn says(&self) -> String {
        text(render(&self.plugins, "swap.txt").await)
    }
}

#[tokio::test]
async fn a_file_that_is_written_anew_is_loaded_and_one_that_is_no_plugin_is_not() {
    let guests = Guests::new();
    let file = guests.build(saying("old"));
    let stage = Stage::of(Path::new(&file));
    guests.build(saying("new"));
    stage.until(1, 0).await;
    assert_eq!(stage.says().await, "new");
    fs::write(&file, "garbage").unwrap();
    stage.until(1, 1).await;
    assert_eq!(stage.says().await, "new");
    guests.build(saying("newer"));
    stage.until(2, 1).await;
    assert_eq!(stage.says().await, "newer");
}

#[tokio::test]
async fn a_file_that_is_put_in_its_place_is_loaded() {
    let (guests, others) = (Guests::new(), Guests::new());
    let file = guests.build(saying("old"));
    let stage = Stage::of(Path::new(&file));
    let other = others.build(saying("new"));
    // Within the directory, as every tool does that replaces a file at once.
    let beside = Path::new(&file).with_extension("new");
    fs::copy(other, &beside).unwrap();
    fs::rename(beside, &file).unwrap();
    stage.until(1, 0).await;
    assert_eq!(stage.says().await, "new");
    fs::remove_file(&file).unwrap();
    guests.build(saying("newer"));
    stage.until(2, 0).await;
    assert_eq!(stage.says().await, "newer");
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_followed() {
    let (old, new, place) = (Guests::new(), Guests::new(), Guests::new());
    let first = old.build(saying("old"));
    let link = place.path().join("swap.wasm");
    std::os::unix::fs::symlink(first, &link).unwrap();
    let stage = Stage::of(&link);
    let target = new.build(saying("new"));
    let beside = place.path().join("beside");
    std::os::unix::fs::symlink(target, &beside).unwrap();
    fs::rename(beside, &link).unwrap();
    stage.until(1, 0).await;
    assert_eq!(stage.says().await, "new");
}

#[tokio::test]
async fn what_lies_beside_the_file_is_nobodys_business() {
    let guests = Guests::new();
    let file = guests.build(saying("old"));
    let stage = Stage::of(Path::new(&file));
    fs::write(Path::new(&file).with_file_name("other.wasm"), "garbage").unwrap();
    guests.build(saying("new"));
    stage.until(1, 0).await;
}

#[tokio::test]
async fn a_change_that_was_asked_for_is_not_loaded_twice() {
    let guests = Guests::new();
    let file = guests.build(saying("old"));
    let stage = Stage::of(Path::new(&file));
    fs::write(&file, "garbage").unwrap();
    stage.plugins.reload_all().await;
    guests.build(saying("new"));
    stage.until(1, 1).await;
    assert_eq!(stage.says().await, "new");
}

#[tokio::test]
async fn plugins_inside_the_binary_have_no_files() {
    let plugins = Arc::new(load(&[PluginSpec::new("ll-hls.wasm")]).unwrap());
    assert!(FileWatch::start(&plugins).unwrap().is_none());
}
