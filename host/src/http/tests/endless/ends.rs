//! Where it ends, and where it doesn't.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Method, StatusCode};
use tokio::{sync::watch, time::Instant};

use super::{Camera, PATH, Reader, narrow, numbers};
use crate::{
    http::{
        hold::Phase,
        tests::stage::{BOTH, Client, Http, Stage, settle, window},
    },
    plugin::{Inputs, Permit, Reads, Refusal, Verdict},
};

#[tokio::test(start_paused = true)]
async fn another_init_segment_ends_it_and_whoever_asks_again_gets_that() {
    for version in BOTH {
        let stage = Stage::playing();
        Camera::new("init-a").send(&stage, 30);
        let viewer = Reader::open(&stage, version).await;
        let mut other = Camera::new("init-b");
        other.time = 5_000_000;
        other.send(&stage, 2);
        let told = viewer.whole_story("init-a").await;
        assert_eq!(told[1..], numbers(25..30), "{version:?}");
        let viewer = Reader::open(&stage, version).await;
        settle().await;
        assert_eq!(viewer.story("init-b"), ["init-b", "0", "1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_presentation_after_the_last_picture() {
    for version in BOTH {
        let stage = Stage::playing();
        let mut camera = Camera::new("init-a");
        camera.send(&stage, 30);
        let viewer = Reader::open(&stage, version).await;
        camera.send(&stage, 2);
        stage.end(5, 1);
        assert_eq!(viewer.whole_story("init-a").await[1..], numbers(25..32));
        // The next one is another, even if it says the same.
        let asked = tokio::spawn(async move {
            let viewer = Reader::open(&stage, version).await;
            (stage, viewer)
        });
        settle().await;
        assert!(!asked.is_finished(), "there is nothing to begin with");
        asked.abort();
    }
    let stage = Stage::playing();
    Camera::new("init-a").send(&stage, 30);
    let viewer = Reader::open(&stage, Http::One).await;
    stage.end(5, 1);
    stage.live.publish(window("second", 0, 0, false));
    Camera::new("init-a").send(&stage, 3);
    assert_eq!(viewer.whole_story("init-a").await[1..], numbers(25..30));
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_server_stops() {
    for version in BOTH {
        let stage = Stage::playing();
        Camera::new("init-a").send(&stage, 1);
        let viewer = Reader::open(&stage, version).await;
        settle().await;
        let began = Instant::now();
        stage.phase.send_replace(Phase::Stopping);
        assert_eq!(viewer.whole_story("init-a").await, ["init-a", "0"]);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

fn cookies() -> Reads {
    Reads {
        inputs: Inputs {
            cookies: vec!["sid".into()],
            ..Inputs::default()
        },
        ..Reads::default()
    }
}

fn refuse() -> Verdict {
    Verdict::Refused(Arc::new(Refusal {
        status: StatusCode::FORBIDDEN,
        headers: Vec::new(),
        content_type: None,
        body: Bytes::new(),
    }))
}

#[tokio::test(start_paused = true)]
async fn strangers_get_nothing_of_it() {
    let stage = Stage::playing();
    Camera::new("init-a").send(&stage, 1);
    stage.doorman.set(cookies(), |_| refuse());
    for version in BOTH {
        let mut client = stage.viewer(version).await;
        assert_eq!(client.get(PATH).await.status, 403);
        let head = client.ask(Method::HEAD, PATH, &[]).await;
        assert_eq!(head.status, 403);
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_permission_has_run_out() {
    for version in BOTH {
        let stage = Stage::playing();
        let mut camera = Camera::new("init-a");
        camera.send(&stage, 1);
        let end = Instant::now() + Duration::from_secs(2);
        stage
            .doorman
            .set(cookies(), move |_| match Instant::now() < end {
                true => Verdict::Allowed(Permit {
                    until: Some(end),
                    ..Permit::default()
                }),
                false => refuse(),
            });
        let viewer = Reader::open(&stage, version).await;
        assert_eq!(viewer.header("cache-control"), Some("no-store"));
        tokio::time::sleep(Duration::from_millis(1_990)).await;
        camera.send(&stage, 1);
        settle().await;
        assert!(!viewer.reading.is_finished());
        tokio::time::sleep(Duration::from_millis(10)).await;
        camera.send(&stage, 1);
        let told = viewer.whole_story("init-a").await;
        assert_eq!(told, ["init-a", "0", "1"], "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_permission_is_withdrawn_and_stands_still_while_that_is_not_clear() {
    for version in BOTH {
        let stage = Stage::playing();
        let mut camera = Camera::new("init-a");
        camera.send(&stage, 1);
        let withdraw = watch::Sender::new(0);
        let withdrawn = withdraw.clone();
        stage.doorman.set(cookies(), move |_| {
            Verdict::Allowed(Permit {
                withdrawn: Some(withdrawn.subscribe()),
                ..Permit::default()
            })
        });
        let viewer = Reader::open(&stage, version).await;
        settle().await;
        // Another generation of the plugin says the same.
        stage.doorman.open.send_replace(false);
        withdraw.send_replace(1);
        camera.send(&stage, 1);
        settle().await;
        assert_eq!(viewer.story("init-a"), ["init-a", "0"], "nobody permits it");
        stage.doorman.open.send_replace(true);
        settle().await;
        assert_eq!(viewer.story("init-a"), ["init-a", "0", "1"]);
        // And another one doesn't.
        stage.doorman.set(cookies(), |_| refuse());
        withdraw.send_replace(2);
        camera.send(&stage, 1);
        let told = viewer.whole_story("init-a").await;
        assert_eq!(told, ["init-a", "0", "1"], "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_time_limit_ends_what_is_read() {
    let mut stage = Stage::playing();
    stage.limits.idle = Duration::from_secs(1);
    stage.limits.header = Duration::from_secs(1);
    stage.limits.stall = Duration::from_secs(2);
    for version in BOTH {
        let mut camera = Camera::new("init-a");
        camera.send(&stage, 1);
        let viewer = Reader::open(&stage, version).await;
        // Longer than any limit, with pauses that are longer as well.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(7)).await;
            camera.send(&stage, 1);
        }
        settle().await;
        assert_eq!(viewer.story("init-a")[1..], numbers(0..11), "{version:?}");
        assert!(!viewer.reading.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_nothing_is_cut_off() {
    let stage = Stage::playing();
    for version in BOTH {
        let mut camera = Camera::new("init-a");
        camera.send(&stage, 1);
        let (socket, mut connection) = stage.pipe(4_000);
        let response = match version {
            Http::One => {
                let mut client = Client::over(socket, version).await;
                let response = client.send(Method::GET, PATH, &[]).await;
                response.expect("a response")
            }
            Http::Two => narrow(socket).await,
        };
        let began = Instant::now();
        loop {
            tokio::select! {
                ended = &mut connection => break ended.expect("no panic"),
                () = tokio::time::sleep(Duration::from_millis(40)) => camera.send(&stage, 1),
            }
        }
        assert!(began.elapsed() >= stage.limits.stall, "{version:?}");
        assert!(began.elapsed() < stage.limits.stall * 2, "{version:?}");
        drop(response);
    }
}
