use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{Publisher, Settings};
use crate::{
    cmaf::Wish,
    live::{Live, Snapshot},
    source::{self, SourceSpec, Wanted},
};

async fn published(live: &Live, fits: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let mut windows = live.subscribe();
    let fitting = windows.wait_for(|window| window.as_deref().is_some_and(&fits));
    let window = tokio::time::timeout(Duration::from_secs(60), fitting).await;
    window.expect("it comes").unwrap().clone().expect("it fits")
}

#[tokio::test]
async fn another_wish_begins_another_presentation_and_numbers_go_on() {
    let wish = |part| Wish {
        segment: Duration::from_millis(500),
        part: Duration::from_millis(part),
        window: Duration::from_secs(5),
    };
    let wanted = Wanted {
        width: 160,
        height: 90,
        fps: 30,
        bitrate: 100_000,
        key_interval: Duration::from_millis(500),
        controls: Vec::new(),
    };
    let source = source::open(&SourceSpec::Pattern, &wanted, None)
        .await
        .unwrap();
    let live = Arc::new(Live::default());
    let (wishes, receiver) = watch::channel(wish(200));
    let settings = Settings {
        wishes: receiver,
        window_bytes: u64::MAX,
        naming: None,
    };
    let (publisher, _health) = Publisher::new(source, live.clone(), settings);
    let running = tokio::spawn(publisher.run());

    let first = published(&live, |_| true).await.presentation.clone();
    // The same once more changes nothing.
    wishes.send_replace(wish(200));
    let before = published(&live, |window| window.segments.len() > 2).await;
    assert_eq!(before.presentation.id, first.id);
    wishes.send_replace(wish(100));
    let second = published(&live, |window| window.presentation.id != first.id).await;
    assert!(second.presentation.timing.part_target < first.timing.part_target);
    assert!(second.position.sequence > before.position.sequence);
    let ended = live.presentation(&first.id).expect("it is still there");
    assert!(ended.ended);
    running.abort();
}
