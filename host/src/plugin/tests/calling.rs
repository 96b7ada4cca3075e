//! What calls of a running plugin do, and what becomes of them when it misbehaves.

use super::*;
use crate::plugin::Restarts;

const LOOP: &str = "(loop $for_ever (br $for_ever)) (unreachable)";

fn one(guest: Guest) -> (Guests, Plugins) {
    with(guest, |_| ())
}

fn with(guest: Guest, change: impl FnOnce(&mut PluginSpec)) -> (Guests, Plugins) {
    let guests = Guests::new();
    let mut spec = PluginSpec::new(guests.build(guest));
    change(&mut spec);
    let plugins = load(&[spec]).unwrap();
    (guests, plugins)
}

#[tokio::test]
async fn a_plugin_sees_the_presentation_that_it_is_called_with() {
    let (_guests, plugins) = one(Guest::new("echo"));
    let answer = render(&plugins, "echo.txt").await.unwrap();
    let Answer::Document { body, max_age } = answer else {
        panic!("no document");
    };
    assert_eq!((&body[..], max_age), (&b"live-7"[..], 5));
    let status = status(&plugins);
    assert_eq!(
        (status.name.as_str(), status.version.as_str()),
        ("echo", "1.2.3")
    );
    assert_eq!((status.calls, status.failures, status.restarts), (1, 0, 0));
    assert_eq!(status.memory, 128 << 10);
}

#[tokio::test]
async fn the_stock_plugin_writes_both_of_its_playlists_and_waits() {
    let spec: PluginSpec = "ll-hls,part-ms=100".parse().unwrap();
    let plugins = load(&[spec]).unwrap();
    assert_eq!(plugins.timing().part, Some(Duration::from_millis(100)));
    let snapshot = live();
    let documents = plugins.documents();
    for document in documents.iter() {
        let answer = plugins
            .render(document, &Request::default(), &snapshot)
            .await;
        let text = text(answer);
        assert!(text.starts_with("#EXTM3U"), "{text}");
    }
    let media = documents
        .iter()
        .find(|document| document.reads.query.contains(&"_HLS_msn".to_owned()))
        .expect("a document that can be waited for");
    let query = |msn: u64| Request {
        query: vec![("_HLS_msn".to_owned(), msn.to_string())],
        ..Request::default()
    };
    let next = snapshot.position.sequence;
    let answer = plugins
        .render(media, &query(next), &snapshot)
        .await
        .unwrap();
    assert!(
        matches!(answer, Answer::Wait(wanted) if wanted > snapshot.position),
        "{answer:?}"
    );
    let answer = plugins
        .render(media, &query(next + 50), &snapshot)
        .await
        .unwrap();
    assert!(
        matches!(answer, Answer::Refuse { status: 400, .. }),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_loop_ends_at_its_limit_and_delays_no_other_plugin() {
    let guests = Guests::new();
    let mut looping = PluginSpec::new(guests.build(Guest::new("loop").render_live(LOOP)));
    looping.limits.call = Duration::from_secs(1);
    let plugins =
        Arc::new(load(&[looping, PluginSpec::new(guests.build(Guest::new("echo")))]).unwrap());
    let stuck = tokio::spawn({
        let plugins = plugins.clone();
        async move { failure(&plugins, "loop.txt").await }
    });
    tokio::task::yield_now().await;
    for _ in 0..20 {
        assert_eq!(text(render(&plugins, "echo.txt").await), "live-7");
    }
    assert!(
        !stuck.is_finished(),
        "the loop has a second of processor time"
    );
    let error = stuck.await.unwrap();
    assert!(
        error.contains("plugin loop") && error.contains("`call-time`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_memory_bomb_costs_its_cap_and_names_it() {
    let grow = "(loop $more (drop (memory.grow (i32.const 16))) (br $more)) (unreachable)";
    let (_guests, plugins) = with(Guest::new("bomb").render_live(grow), |spec| {
        spec.limits.memory = 4 << 20;
    });
    let error = failure(&plugins, "bomb.txt").await;
    assert!(
        error.contains("4.0 MiB") && error.contains("`memory`"),
        "{error}"
    );
    assert_eq!(status(&plugins).memory, 0, "the instance is gone");
}

#[tokio::test]
async fn a_trap_tells_in_which_function_and_what_the_plugin_said_last() {
    let mut guest = Guest::new("trap")
        .import("log", "write", "(param i32 i32 i32)")
        .functions("(func $find_the_segment (unreachable))");
    let words = guest.text("index out of bounds\nin line 3");
    let (_guests, plugins) = one(guest.render_live(&format!(
        "(call $write (i32.const 0) {words}) (call $find_the_segment) (unreachable)"
    )));
    let error = failure(&plugins, "trap.txt").await;
    assert!(error.contains("find_the_segment < do_render"), "{error}");
    assert!(error.contains("index out of bounds in line 3"), "{error}");
    assert!(error.contains("unreachable"), "{error}");
    assert_eq!(
        status(&plugins)
            .last_error
            .as_deref()
            .map(|e| error.ends_with(e)),
        Some(true)
    );
}

#[tokio::test]
async fn after_a_trap_a_plugin_starts_afresh() {
    // The trial has three calls, on an instance of its own.
    let fifth = "(if (result i32) (i32.eq (global.get $calls) (i32.const 5)) (then (unreachable)) (else
        (call $document (call $id (local.get $args)) (call $id_len (local.get $args)) (i32.const 5))))";
    let (_guests, plugins) = one(Guest::new("fifth").render_live(fifth));
    for round in 0..2 {
        for _ in 0..4 {
            assert_eq!(text(render(&plugins, "fifth.txt").await), "live-7");
        }
        failure(&plugins, "fifth.txt").await;
        let status = status(&plugins);
        assert_eq!(
            (status.traps, status.restarts),
            (round + 1, round),
            "the first restart is at once"
        );
    }
    // The second time in a row it may be benched for a moment.
    let answer = loop {
        match render(&plugins, "fifth.txt").await {
            Err(RenderError::Call(CallError::Benched { retry_in, .. })) => {
                tokio::time::sleep(retry_in).await
            }
            answer => break answer,
        }
    };
    assert_eq!(text(answer), "live-7");
    assert_eq!(status(&plugins).restarts, 2);
}

#[tokio::test]
async fn a_plugin_that_keeps_trapping_is_benched_and_the_bench_says_why() {
    let (_guests, plugins) = one(Guest::new("trap").render_live("(unreachable)"));
    // Pauses grow up to five seconds, so however slow the machine is, a call falls into one.
    let error = loop {
        match render(&plugins, "trap.txt").await {
            Err(RenderError::Call(CallError::Failed { .. })) => {}
            Err(error) => break error,
            Ok(answer) => panic!("an answer: {answer:?}"),
        }
    };
    assert!(matches!(
        error,
        RenderError::Call(CallError::Benched { .. })
    ));
    assert!(error.to_string().contains("unreachable"), "{error}");
}

#[tokio::test]
async fn a_plugin_that_used_up_its_restarts_is_benched_until_it_runs_again() {
    // The trial has three calls, on an instance of its own.
    let fifth = "(if (result i32) (i32.eq (global.get $calls) (i32.const 5)) (then (unreachable)) (else
        (call $document (call $id (local.get $args)) (call $id_len (local.get $args)) (i32.const 5))))";
    let (_guests, plugins) = with(Guest::new("fifth").render_live(fifth), |spec| {
        spec.restarts = Restarts {
            budget: 1,
            backoff: Duration::from_millis(1),
            bench: Duration::from_millis(200),
        };
    });
    for benched in [0, 1] {
        for _ in 0..4 {
            assert_eq!(text(render(&plugins, "fifth.txt").await), "live-7");
        }
        failure(&plugins, "fifth.txt").await;
        assert_eq!(status(&plugins).benched, benched);
    }
    let error = render(&plugins, "fifth.txt").await.unwrap_err();
    let RenderError::Call(CallError::Benched { retry_in, .. }) = error else {
        panic!("{error}");
    };
    tokio::time::sleep(retry_in).await;
    assert_eq!(status(&plugins).benched, 1, "nobody has tried it since");
    assert_eq!(text(render(&plugins, "fifth.txt").await), "live-7");
    assert_eq!(status(&plugins).benched, 0);
}

#[tokio::test]
async fn an_answer_that_may_not_be_is_an_error_that_costs_no_restart() {
    let mut guest = Guest::new("wrong").documents(["status.txt", "late.txt", "long.txt"]);
    let reason = guest.text("because");
    // The first letter of the document's name tells which it is.
    let render_live = format!(
        "(if (result i32) (i32.eq (i32.load8_u (i32.load (local.get $args))) (i32.const {s}))
            (then (call $refuse (i32.const 200) {reason}))
            (else (if (result i32)
                (i32.eq (i32.load8_u offset=1 (i32.load (local.get $args))) (i32.const {a}))
                (then (call $wait (i64.const 7) (i32.const 0)))
                (else (call $document (i32.const 0) (i32.const 1100) (i32.const 1))))))",
        s = u32::from(b's'),
        a = u32::from(b'a'),
    );
    let (_guests, plugins) = with(guest.render_live(&render_live), |spec| {
        spec.limits.output = 1_000;
    });
    let error = failure(&plugins, "status.txt").await;
    assert!(
        error.contains("status.txt") && error.contains("status 200"),
        "{error}"
    );
    assert!(
        failure(&plugins, "late.txt")
            .await
            .contains("segment 7 part 0")
    );
    assert!(failure(&plugins, "long.txt").await.contains("`output`"));
    let status = status(&plugins);
    assert_eq!(
        (status.calls, status.failures, status.traps, status.restarts),
        (3, 3, 0, 0)
    );
}

#[tokio::test]
async fn an_answer_far_above_the_limit_is_not_even_taken_over() {
    let all = "(drop (memory.grow (i32.const 200)))
        (call $document (i32.const 0) (i32.const 12000000) (i32.const 1))";
    let (_guests, plugins) = one(Guest::new("huge").render_live(all));
    let error = failure(&plugins, "huge.txt").await;
    assert!(
        error.contains("1.0 MiB") && error.contains("`output`"),
        "{error}"
    );
}

#[tokio::test]
async fn an_import_works_when_it_is_granted_and_names_the_grant_when_not() {
    let clock = || {
        Guest::new("clock")
            .import("clock", "now", "(result i64)")
            .render_live(
                "(drop (call $now)) (call $document (i32.const 0) (i32.const 0) (i32.const 1))",
            )
    };
    let (_guests, plugins) = one(clock());
    let error = failure(&plugins, "clock.txt").await;
    assert!(error.contains("add \"clock\" to `grants`"), "{error}");
    let (_guests, plugins) = with(clock(), |spec| spec.grants.clock = true);
    assert_eq!(text(render(&plugins, "clock.txt").await), "");
}

#[tokio::test]
async fn figures_of_a_plugin_outlive_its_instances_and_those_of_the_trial_do_not_count() {
    let mut guest = Guest::new("figures").import("metrics", "add", "(param i32 i32 f64)");
    let name = guest.text("renders");
    let (_guests, plugins) = with(
        guest.render(&format!(
            "(call $add {name} (f64.const 1))
             (if (i32.eq (global.get $calls) (i32.const 4)) (then (unreachable)))
             (call $document (i32.const 0) (i32.const 0) (i32.const 1))"
        )),
        |spec| spec.grants.metrics = true,
    );
    for _ in 0..3 {
        render(&plugins, "figures.txt").await.unwrap();
    }
    failure(&plugins, "figures.txt").await;
    render(&plugins, "figures.txt").await.unwrap();
    let metrics = status(&plugins).metrics;
    assert_eq!(metrics["renders"], crate::plugin::Metric::Counter(5.0));
}

#[tokio::test]
async fn who_goes_away_before_his_turn_costs_no_call() {
    let (_guests, plugins) = with(Guest::new("slow").render_live(LOOP), |spec| {
        spec.limits.call = Duration::from_millis(500);
    });
    let plugins = Arc::new(plugins);
    let first = tokio::spawn({
        let plugins = plugins.clone();
        async move { failure(&plugins, "slow.txt").await }
    });
    tokio::task::yield_now().await;
    let snapshot = live();
    let document = plugins.documents()[0].clone();
    let request = Request::default();
    let mut second = Box::pin(plugins.render(&document, &request, &snapshot));
    // Polled once, it stands in the queue behind the loop.
    let waker = std::task::Waker::noop();
    let poll = second
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker));
    assert!(poll.is_pending());
    drop(second);
    first.await.unwrap();
    failure(&plugins, "slow.txt").await;
    assert_eq!(status(&plugins).calls, 2);
}
