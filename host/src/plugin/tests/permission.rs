//! Who may watch: what plugins are asked, for how long an answer holds, and that no failure opens the door.

use std::{net::IpAddr, task::Poll};

use picam_guests::{BOMB, LOOP, Reads};

use super::*;
use crate::plugin::{Permit, Question, Verdict, Visit, budget::thread_time};

fn obedient(name: &str, more: &[(char, &str)]) -> Guest {
    Guest::new(name).obedient(more)
}

fn visit(token: &str, path: &str) -> Visit {
    let question = Question {
        token: Some(token.to_owned()),
        ..Question::default()
    };
    Visit {
        path: path.into(),
        peer: IpAddr::from([192, 0, 2, 1]),
        questions: vec![Some(Arc::new(question))],
    }
}

async fn ask_visit(plugins: &Plugins, visit: &Visit) -> Verdict {
    let reads = plugins.reads();
    let call = plugins.ask(&reads, visit);
    // A guard against a hang, far above what any machine needs.
    tokio::time::timeout(Duration::from_secs(120), call)
        .await
        .expect("a verdict in good time")
}

async fn ask(plugins: &Plugins, token: &str) -> Verdict {
    ask_visit(plugins, &visit(token, "/cam/live.m3u8")).await
}

fn is_allowed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Allowed(_))
}

fn status_of(verdict: &Verdict) -> u16 {
    match verdict {
        Verdict::Allowed(_) => 200,
        Verdict::Refused(refusal) => refusal.status.as_u16(),
        Verdict::Unavailable(_) | Verdict::Outdated => 503,
    }
}

fn one(guest: Guest) -> (Guests, Plugins) {
    let guests = Guests::new();
    let mut spec = PluginSpec::new(guests.build(guest));
    spec.limits.call = Duration::from_millis(50);
    spec.limits.memory = 4 << 20;
    let plugins = load(&[spec]).unwrap();
    (guests, plugins)
}

#[tokio::test]
async fn without_a_plugin_that_decides_everybody_may_watch() {
    let (_guests, plugins) = one(Guest::new("playlist"));
    assert!(plugins.reads().is_empty());
    let visit = Visit {
        questions: Vec::new(),
        ..visit("", "/")
    };
    assert!(is_allowed(&ask_visit(&plugins, &visit).await));
}

#[tokio::test]
async fn a_plugin_declares_what_it_looks_at_and_sees_it() {
    let mut guest = Guest::new("echo").hooks(&[Hook::Auth.name()]).reads(Reads {
        query: &["q"],
        headers: &["Authorization"],
        cookies: &["sid"],
        method: true,
        peer: true,
        form: true,
    });
    // What it is shown at this offset becomes the body of its denial.
    let kind = guest.text("text/plain");
    let show = |offset: u32| {
        format!(
            "(call $typed (call $deny (i32.const 401) (i32.load offset={offset} (local.get $args))
                (i32.load offset={} (local.get $args)) (i32.const 0) (i32.const 0) (i32.const 0)) {kind})",
            offset + 4
        )
    };
    let guest = guest.functions(
        "(func $typed (param $answer i32) (param $at i32) (param $len i32) (result i32)
            (i32.store offset=16 (local.get $answer) (local.get $at))
            (i32.store offset=20 (local.get $answer) (local.get $len))
            (local.get $answer))",
    );
    // The path's last letter says which.
    let mut decide = show(8);
    for (letter, offset) in [
        ('t', 20),
        ('m', 28),
        ('p', 36),
        ('q', 44),
        ('h', 52),
        ('c', 60),
        ('f', 68),
    ] {
        decide = format!(
            "(if (result i32) (i32.eq (i32.const {}) (i32.load8_u (i32.sub (i32.add
                (i32.load offset=8 (local.get $args)) (i32.load offset=12 (local.get $args))) (i32.const 1))))
                (then {}) (else {decide}))",
            u32::from(letter),
            show(offset)
        );
    }
    let (_guests, plugins) = one(guest.decide(&decide));
    let reads = &plugins.reads()[0];
    assert_eq!(reads.inputs.headers, ["authorization"]);
    assert!(reads.takes_forms() && reads.peer);
    let question = Question {
        token: Some("the-token".into()),
        method: "POST",
        peer: "192.0.2.1".into(),
        query: "q\t1".into(),
        headers: "authorization\tx".into(),
        cookies: "sid\ty".into(),
        form: "a\tb".into(),
    };
    for (path, expected) in [
        ("/xx", "/xx"),
        ("/t", "the-token"),
        ("/m", "POST"),
        ("/p", "192.0.2.1"),
        ("/q", "q\t1"),
        ("/h", "authorization\tx"),
        ("/c", "sid\ty"),
        ("/f", "a\tb"),
    ] {
        let visit = Visit {
            path: path.into(),
            questions: vec![Some(Arc::new(question.clone()))],
            ..visit("", "")
        };
        match ask_visit(&plugins, &visit).await {
            Verdict::Refused(refusal) => assert_eq!(refusal.body, expected, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_that_holds_costs_one_call_for_all_it_covers() {
    let (_guests, plugins) = one(obedient("obedient", &[]));
    for path in ["/cam/live.m3u8", "/cam/1/media.m3u8", "/cam/1/s1.m4s"] {
        for (token, expected) in [("a", 200), ("d", 403), ("a2", 200)] {
            let verdict = ask_visit(&plugins, &visit(token, path)).await;
            assert_eq!(status_of(&verdict), expected, "{token} {path}");
        }
    }
    let counted = status(&plugins);
    assert_eq!((counted.calls, counted.cache_hits), (3, 6));
    for path in ["/", "/camera", "/cam"] {
        ask_visit(&plugins, &visit("a", path)).await;
    }
    assert_eq!(status(&plugins).calls, 6, "the prefix doesn't cover these");
    for _ in 0..3 {
        assert_eq!(status_of(&ask(&plugins, "o").await), 200);
    }
    assert_eq!(status(&plugins).calls, 9, "an answer for once is for once");
}

#[tokio::test]
async fn who_ask_the_same_at_once_share_one_call() {
    let count =
        "(loop $wait (br_if $wait (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))
        (i32.const 20000000))))";
    // The prefix lies where `obedient` puts it first.
    let slow = "(call $slowly) (call $allow (i32.const 60) (i32.const 1024) (i32.const 5))";
    let guests = Guests::new();
    let guest = obedient("slow", &[('s', slow)])
        .functions(&format!("(func $slowly (local $n i32) {count})"));
    let mut spec = PluginSpec::new(guests.build(guest));
    spec.limits.call = Duration::from_secs(20);
    let plugins = Arc::new(load(&[spec]).unwrap());
    let asking: Vec<_> = (0..100)
        .map(|n| {
            let plugins = plugins.clone();
            let path = format!("/cam/{}", n % 7);
            tokio::spawn(async move { ask_visit(&plugins, &visit("s", &path)).await })
        })
        .collect();
    for asked in asking {
        assert!(is_allowed(&asked.await.unwrap()));
    }
    assert_eq!(status(&plugins).calls, 1);
}

#[tokio::test]
async fn all_plugins_have_to_allow() {
    let guests = Guests::new();
    let specs: Vec<_> = ["one", "two"]
        .map(|name| PluginSpec::new(guests.build(obedient(name, &[('x', "(unreachable)")]))))
        .into();
    let plugins = load(&specs).unwrap();
    for (tokens, expected) in [
        (["a", "a"], 200),
        (["a", "d"], 403),
        (["d", "a"], 403),
        (["a", "x"], 503),
        (["x", "a"], 503),
        (["d", "x"], 403),
    ] {
        let questions = tokens.map(|token| visit(token, "").questions.remove(0));
        let both = Visit {
            questions: questions.into(),
            ..visit("", "/cam/x")
        };
        assert_eq!(
            status_of(&ask_visit(&plugins, &both).await),
            expected,
            "{tokens:?}"
        );
    }
    // Questions for fewer, or for nobody, are no way in.
    for questions in [vec![], visit("a", "").questions, vec![None, None]] {
        let some = Visit {
            questions,
            ..visit("", "/cam/x")
        };
        assert_eq!(status_of(&ask_visit(&plugins, &some).await), 503);
    }
}

#[tokio::test]
async fn no_failure_opens_the_door() {
    let none = "(i32.const 0) (i32.const 0)";
    let bad_status = format!("(call $deny (i32.const 200) {none} (i32.const 60) {none})");
    let bad_redirect = format!("(call $redirect (i32.const 301) {none})");
    let bad_answer = "(i32.store8 (i32.const 16) (i32.const 7)) (i32.const 16)";
    let bad_string = "(call $allow (i32.const 60) (i32.const -1) (i32.const 100))";
    // One header field at 64: name and value are the same text.
    let bad_header = "(i32.store (i32.const 64) (i32.const 96)) (i32.store (i32.const 68) (i32.const 3))
        (i32.store (i32.const 72) (i32.const 96)) (i32.store (i32.const 76) (i32.const 3))
        (i32.store (i32.const 96) (i32.const 0x0a0d61))
        (call $headers (call $allow (i32.const 60) (i32.const 0) (i32.const 0)) (i32.const 16) (i32.const 64)
            (i32.const 1))";
    let huge = "(drop (memory.grow (i32.const 40)))
        (call $deny (i32.const 401) (i32.const 0) (i32.const 2000000) (i32.const 0) (i32.const 0) (i32.const 0))";
    for (what, body) in [
        ("a trap", "(unreachable)"),
        ("a loop", LOOP),
        ("a memory bomb", BOMB),
        ("a status", &bad_status),
        ("a redirection", &bad_redirect),
        ("no answer at all", bad_answer),
        ("a string outside its memory", bad_string),
        ("a header field", bad_header),
        ("an oversize body", huge),
    ] {
        let (_guests, plugins) = one(obedient("bad", &[('x', body)]));
        for _ in 0..4 {
            let verdict = ask(&plugins, "x").await;
            assert!(
                matches!(verdict, Verdict::Unavailable(_)),
                "{what}: {verdict:?}"
            );
        }
        let status = status(&plugins);
        assert!(status.failures > 0 && status.last_error.is_some(), "{what}");
    }
}

#[tokio::test]
async fn a_loop_delays_neither_documents_nor_other_questions() {
    let guests = Guests::new();
    let guest = obedient("loop", &[('x', LOOP)]).hooks(&[Hook::Auth.name(), Hook::Playlist.name()]);
    let mut spec = PluginSpec::new(guests.build(guest));
    spec.limits.call = Duration::from_secs(1);
    let plugins = Arc::new(load(&[spec]).unwrap());
    let stuck = tokio::spawn({
        let plugins = plugins.clone();
        async move { ask(&plugins, "x").await }
    });
    tokio::task::yield_now().await;
    for n in 0..20 {
        assert_eq!(text(render(&plugins, "loop.txt").await), "live-7");
        if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
            assert!(is_allowed(&ask(&plugins, &format!("a{n}")).await));
        }
    }
    assert!(
        !stuck.is_finished(),
        "the loop has a second of processor time"
    );
    assert_eq!(status_of(&stuck.await.unwrap()), 503);
}

#[tokio::test]
async fn a_flood_of_slow_questions_is_shed_and_others_get_their_turn() {
    let guests = Guests::new();
    let mut spec = PluginSpec::new(guests.build(obedient("loop", &[('x', LOOP)])));
    spec.limits.call = Duration::from_millis(10);
    let plugins = Arc::new(load(&[spec]).unwrap());
    let flood: Vec<_> = (0..400)
        .map(|n| {
            let plugins = plugins.clone();
            tokio::spawn(async move { ask(&plugins, &format!("x{n}")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let other = Visit {
        peer: IpAddr::from([192, 0, 2, 2]),
        ..visit("a", "/cam/live.m3u8")
    };
    let verdict = loop {
        // An instance that a loop cost its life may be benched for a moment.
        match ask_visit(&plugins, &other).await {
            Verdict::Unavailable(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            verdict => break verdict,
        }
    };
    assert!(is_allowed(&verdict));
    for asked in flood {
        assert_eq!(status_of(&asked.await.unwrap()), 503);
    }
    assert!(
        status(&plugins).calls < 400,
        "not all of them were called for"
    );
}

#[tokio::test]
async fn a_quick_plugin_is_called_on_the_thread_that_asks_until_it_is_slow() {
    let guests = Guests::new();
    let mut spec = PluginSpec::new(guests.build(obedient("quick", &[('x', LOOP)])));
    spec.limits.call = Duration::from_millis(20);
    let plugins = load(&[spec]).unwrap();
    let reads = plugins.reads();
    let at_once = |token: String| {
        let visit = visit(&token, "/cam/x");
        let mut asking = Box::pin(plugins.ask(&reads, &visit));
        let waker = std::task::Waker::noop();
        let poll = asking
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker));
        matches!(poll, Poll::Ready(Verdict::Allowed(_)))
    };
    // A thread of the pool may be so quick now and then that the answer is there at the first look, but never every time.
    let always_at_once = |round: &str| (0..200).all(|n| at_once(format!("a-{round}-{n}")));
    let mut rounds = 0;
    while !always_at_once(&rounds.to_string()) {
        for n in 0..40 {
            assert!(is_allowed(&ask(&plugins, &format!("a{rounds}.{n}")).await));
        }
        rounds += 1;
        assert!(rounds < 1_000, "it is never found to be quick");
    }
    assert!(rounds > 0, "it had to show first");
    assert_eq!(status_of(&ask(&plugins, "x").await), 503);
    assert!(!always_at_once("after"));
    for n in 0..40 {
        assert!(is_allowed(&ask(&plugins, &format!("a-later-{n}")).await));
    }
    assert!(!always_at_once("long after"));
}

#[tokio::test]
async fn a_reload_withdraws_what_was_permitted() {
    let guests = Guests::new();
    let path = guests.build(obedient("doorman", &[]));
    let plugins = load(&[PluginSpec::new(path)]).unwrap();
    let Verdict::Allowed(Permit {
        withdrawn, until, ..
    }) = ask(&plugins, "a").await
    else {
        panic!("it is allowed");
    };
    assert!(until.is_some());
    let mut withdrawn = withdrawn.expect("it can be withdrawn");
    assert!(!withdrawn.has_changed().unwrap());
    // The same plugin, but for what it thinks of `a`.
    let none = "(i32.const 0) (i32.const 0)";
    let changed = format!("(call $deny (i32.const 404) {none} (i32.const 60) {none})");
    guests.build(obedient("doorman", &[('a', &changed)]));
    plugins.reload("doorman").await.unwrap();
    assert!(withdrawn.has_changed().unwrap());
    withdrawn.changed().await.unwrap();
    assert_eq!(status_of(&ask(&plugins, "a").await), 404);
}

#[tokio::test]
async fn a_new_generation_that_fails_is_rolled_back_and_never_open() {
    let guests = Guests::new();
    let path = guests.build(obedient("doorman", &[]));
    let mut spec = PluginSpec::new(path);
    spec.limits.call = Duration::from_millis(50);
    let plugins = load(&[spec]).unwrap();
    for bad in ["(unreachable)", LOOP, BOMB] {
        assert_eq!(status_of(&ask(&plugins, "d").await), 403);
        guests.build(obedient("doorman", &[('d', bad)]));
        plugins.reload("doorman").await.unwrap();
        let verdict = ask(&plugins, "d").await;
        assert_eq!(
            status_of(&verdict),
            403,
            "the one before answers: {verdict:?}"
        );
        guests.build(obedient("doorman", &[]));
        plugins.reload("doorman").await.unwrap();
    }
    assert_eq!(status(&plugins).reloads.rolled_back, 3);
}

#[tokio::test]
async fn a_plugin_that_looks_at_something_else_is_not_asked_with_old_questions() {
    let guests = Guests::new();
    let path = guests.build(obedient("doorman", &[]));
    let plugins = load(&[PluginSpec::new(path)]).unwrap();
    let old = plugins.reads();
    guests.build(obedient("doorman", &[]).reads(Reads {
        cookies: &["sid"],
        ..Reads::default()
    }));
    plugins.reload("doorman").await.unwrap();
    let verdict = plugins.ask(&old, &visit("a", "/cam/x")).await;
    assert!(matches!(verdict, Verdict::Outdated), "{verdict:?}");
    assert!(is_allowed(&ask(&plugins, "a").await));
}

/// A plugin that has shown itself quick by now, which may take so long for a call.
async fn quick(guest: Guest, call: Duration) -> (Guests, Plugins) {
    let guests = Guests::new();
    let mut spec = PluginSpec::new(guests.build(guest));
    spec.limits.call = call;
    let plugins = load(&[spec]).unwrap();
    // As often as that takes, and more, for machines on which a quick call seems slow now and then.
    for _ in 0..200 {
        assert!(is_allowed(&ask(&plugins, "o").await));
    }
    (guests, plugins)
}

#[tokio::test]
async fn a_plugin_that_loops_once_it_seems_quick_does_not_hold_up_the_thread_that_asks() {
    let (_guests, plugins) = quick(
        obedient("quick", &[('x', LOOP)]),
        Duration::from_millis(200),
    )
    .await;
    let before = thread_time();
    assert_eq!(status_of(&ask(&plugins, "x").await), 503);
    let used = thread_time() - before;
    assert!(used < Duration::from_millis(100), "{used:?} of 200 ms");
    let status = status(&plugins);
    assert_eq!((status.failures, status.traps), (1, 1));
    assert!(is_allowed(&ask(&plugins, "o").await), "it starts afresh");
}

#[tokio::test]
async fn a_call_that_is_slow_without_warning_is_made_again_and_answered() {
    // Some tens of milliseconds; far above what a thread that asks has time for, and below the limit.
    let slow = "(call $spin) (call $allow (i32.const 0) (i32.const 0) (i32.const 0))";
    let guest = obedient("quick", &[('s', slow)]).functions(
        "(func $spin (local $n i32)
            (loop $more
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (i32.const 100000000)))))",
    );
    let (_guests, plugins) = quick(guest, Duration::from_secs(30)).await;
    assert!(is_allowed(&ask(&plugins, "s").await));
    let status = status(&plugins);
    assert_eq!((status.calls, status.failures, status.traps), (201, 0, 0));
}

#[tokio::test]
async fn no_reload_opens_the_door_or_puts_one_in() {
    let guests = Guests::new();
    let closed = PluginSpec::new(guests.build(obedient("closed", &[])));
    let open = PluginSpec::new(guests.build(Guest::new("open")));
    let plugins = load(&[closed, open]).unwrap();
    guests.build(Guest::new("closed"));
    let error = plugins.reload("closed").await.unwrap_err().to_string();
    assert!(
        error.contains("decides who may watch, and it doesn't"),
        "{error}"
    );
    guests.build(obedient("open", &[]));
    let error = plugins.reload("open").await.unwrap_err().to_string();
    assert!(
        error.contains("doesn't decide who may watch, and it does"),
        "{error}"
    );
    assert_eq!(status_of(&ask(&plugins, "d").await), 403);
}
