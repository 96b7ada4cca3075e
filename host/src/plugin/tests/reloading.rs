//! What a swap does to a plugin that serves.

use picam_guests::LOOP;

use super::*;
use crate::plugin::{Outcome, ReloadError};

/// A plugin that writes `swap.txt` with this text.
fn saying(text: &str) -> Guest {
    let mut guest = Guest::new("swap");
    let text = guest.text(text);
    guest.render(&format!("(call $document {text} (i32.const 5))"))
}

fn started(guest: Guest) -> (Guests, Plugins) {
    let guests = Guests::new();
    let plugins = load(&[PluginSpec::new(guests.build(guest))]).unwrap();
    (guests, plugins)
}

async fn refused(plugins: &Plugins) -> String {
    match plugins.reload("swap").await.unwrap_err() {
        ReloadError::Refused { plugin, cause } => {
            assert_eq!(plugin, "swap");
            assert!(!cause.contains('\n'), "not one line: {cause}");
            assert_eq!(
                status(plugins).reloads.last.unwrap().outcome,
                Outcome::Refused {
                    cause: cause.clone()
                }
            );
            cause
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_reload_puts_the_new_file_in_the_place_of_the_old_one() {
    let (guests, plugins) = started(saying("old"));
    assert_eq!(text(render(&plugins, "swap.txt").await), "old");
    let before = plugins.documents();
    guests.build(saying("new"));
    assert_eq!(text(render(&plugins, "swap.txt").await), "old");
    let reloaded = plugins.reload("swap").await.unwrap();
    assert_eq!((reloaded.generation, reloaded.from_cache), (2, false));
    assert_eq!(text(render(&plugins, "swap.txt").await), "new");
    let after = plugins.documents();
    assert_eq!(before, after);
    assert!(
        !Arc::ptr_eq(&before, &after),
        "who shares answers must see that those of before don't count any more"
    );
    let status = status(&plugins);
    assert_eq!((status.generation, status.on_probation), (2, true));
    assert_eq!(status.calls, 3, "calls of all generations");
    assert_eq!((status.reloads.succeeded, status.reloads.refused), (1, 0));
}

/// A plugin that writes `swap.txt` with what it was restored with, or else with this text, which is also what it saves.
fn remembering(text: &str, restore: &str) -> Guest {
    let mut guest = Guest::new("swap");
    let [at, len] = guest.string(text);
    let own = format!("(i32.const {at}) (i32.const {len})");
    let take =
        format!("(memory.copy (i32.const {at}) (local.get $saved) (i32.const {len})) {restore}");
    guest
        .render(&format!("(call $document {own} (i32.const 5))"))
        .state(&format!("(call $string {own})"), &take)
}

#[tokio::test]
async fn what_a_generation_saves_is_what_the_next_one_is_restored_with() {
    let (guests, plugins) = started(remembering("first", ""));
    assert_eq!(text(render(&plugins, "swap.txt").await), "first");
    guests.build(remembering("other", ""));
    plugins.reload("swap").await.unwrap();
    assert_eq!(text(render(&plugins, "swap.txt").await), "first");
}

#[tokio::test]
async fn a_generation_that_dies_of_what_was_saved_is_not_used() {
    let (guests, plugins) = started(remembering("first", ""));
    guests.build(remembering("other", "(unreachable)"));
    let cause = refused(&plugins).await;
    assert!(
        cause.contains("taking over the state") && cause.contains("`restore`"),
        "{cause}"
    );
    assert_eq!(status(&plugins).generation, 1);
    assert_eq!(text(render(&plugins, "swap.txt").await), "first");
}

#[tokio::test]
async fn a_generation_without_state_follows_one_that_has_some() {
    let (guests, plugins) = started(remembering("first", ""));
    guests.build(saying("plain"));
    plugins.reload("swap").await.unwrap();
    assert_eq!(text(render(&plugins, "swap.txt").await), "plain");
}

/// A plugin that writes `swap.txt` with what is stored under `key`. `init` is done first, with the key at hand.
fn stored(init: impl Fn(&mut Guest, &str) -> String) -> Guest {
    let mut guest = Guest::new("swap")
        .import("kv", "get", "(param i32 i32 i32)")
        .import("kv", "set", "(param i32 i32 i32 i32 i32)");
    let key = guest.text("key");
    let found = guest.words(&[0; 3]);
    let init = init(&mut guest, &key);
    guest.init(&init).render(&format!(
        "(call $get {key} (i32.const {found}))
         (call $document
            (i32.load offset=4 (i32.const {found})) (i32.load offset=8 (i32.const {found})) (i32.const 5))"
    ))
}

fn storing(value: &str) -> Guest {
    stored(|guest, key| {
        let (value, told) = (guest.text(value), guest.words(&[0; 3]));
        format!("(call $set {key} {value} (i32.const {told}))")
    })
}

fn with_kv(guest: Guest) -> (Guests, Plugins) {
    let guests = Guests::new();
    let mut spec = PluginSpec::new(guests.build(guest));
    spec.grants.kv = true;
    let plugins = load(&[spec]).unwrap();
    (guests, plugins)
}

#[tokio::test]
async fn what_is_stored_survives_reloads() {
    let (guests, plugins) = with_kv(storing("one"));
    assert_eq!(text(render(&plugins, "swap.txt").await), "one");
    guests.build(stored(|_, _| String::new()));
    plugins.reload("swap").await.unwrap();
    assert_eq!(text(render(&plugins, "swap.txt").await), "one");
}

#[tokio::test]
async fn what_a_generation_stored_that_is_rolled_back_is_rolled_back_with_it() {
    let (guests, plugins) = with_kv(storing("one"));
    guests.build(storing("two").render_live("(unreachable)"));
    plugins.reload("swap").await.unwrap();
    assert_eq!(text(render(&plugins, "swap.txt").await), "one");
    assert_eq!(status(&plugins).reloads.rolled_back, 1);
    guests.build(stored(|_, _| String::new()));
    plugins.reload("swap").await.unwrap();
    assert_eq!(text(render(&plugins, "swap.txt").await), "one");
}

#[tokio::test]
async fn a_file_that_can_not_be_used_leaves_the_old_generation_serving_and_says_why() {
    let (guests, plugins) = started(saying("old"));
    let whole = saying("half").module();
    for (bytes, why) in [
        (&b"garbage"[..], "not WebAssembly"),
        (&b""[..], "empty"),
        (&whole[..whole.len() / 2], "damaged"),
    ] {
        guests.add("swap.wasm", bytes);
        let cause = refused(&plugins).await;
        assert!(
            cause.contains(why) && cause.contains("swap.wasm"),
            "{cause}"
        );
        assert_eq!(text(render(&plugins, "swap.txt").await), "old");
    }
    guests.build(saying("new").init("(unreachable)"));
    assert!(refused(&plugins).await.contains("`init`"));
    guests.build(saying("new").render("(unreachable)"));
    assert!(refused(&plugins).await.contains("on trial"));
    let mut other = Guest::new("other");
    let text_of_other = other.text("x");
    let other = other.render(&format!("(call $document {text_of_other} (i32.const 1))"));
    guests.add("swap.wasm", &other.module());
    assert!(refused(&plugins).await.contains("plugin `other`"));
    let status = status(&plugins);
    assert_eq!((status.generation, status.reloads.refused), (1, 6));
    guests.build(saying("new"));
    assert_eq!(plugins.reload("swap").await.unwrap().generation, 2);
    assert_eq!(text(render(&plugins, "swap.txt").await), "new");
}

#[tokio::test]
async fn a_plugin_that_traps_on_its_third_call_is_rolled_back_and_the_call_is_answered() {
    let (guests, plugins) = started(saying("old"));
    let mut third = Guest::new("swap");
    let words = third.text("new");
    let third = third.render(&format!("(call $document {words} (i32.const 5))"));
    // The trial has three calls, on an instance of its own.
    guests.build(third.render_live(&format!(
        "(if (result i32) (i32.eq (global.get $calls) (i32.const 3)) (then (unreachable))
            (else (call $document {words} (i32.const 5))))"
    )));
    plugins.reload("swap").await.unwrap();
    for expected in ["new", "new", "old", "old"] {
        assert_eq!(text(render(&plugins, "swap.txt").await), expected);
    }
    let after = status(&plugins);
    assert_eq!((after.generation, after.on_probation), (1, false));
    assert_eq!(after.reloads.rolled_back, 1);
    let Outcome::RolledBack {
        generation: 2,
        to: 1,
        cause,
    } = after.reloads.last.unwrap().outcome
    else {
        panic!("rolled back from 2 to 1");
    };
    assert!(cause.contains("unreachable"), "{cause}");
    guests.build(saying("newer"));
    assert_eq!(
        plugins.reload("swap").await.unwrap().generation,
        3,
        "no number is given twice"
    );
}

#[tokio::test]
async fn who_waits_behind_a_loop_is_answered_by_the_generation_before_without_another_loop() {
    let documents = ["a.txt", "b.txt", "c.txt"];
    let (guests, plugins) = started(saying("old").documents(documents));
    guests.build(saying("new").documents(documents).render_live(LOOP));
    plugins.reload("swap").await.unwrap();
    let [a, b, c] = documents.map(|path| render(&plugins, path));
    let answers = tokio::join!(a, b, c);
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!(text(answer), "old");
    }
    assert_eq!(status(&plugins).traps, 1);
}

#[tokio::test]
async fn answers_that_may_not_be_roll_a_new_generation_back_too() {
    let (guests, plugins) = started(saying("old"));
    let mut status_200 = saying("new");
    let reason = status_200.text("because");
    guests.build(status_200.render_live(&format!("(call $refuse (i32.const 200) {reason})")));
    plugins.reload("swap").await.unwrap();
    assert_eq!(text(render(&plugins, "swap.txt").await), "old");
    let all = "(drop (memory.grow (i32.const 200)))
        (call $document (i32.const 0) (i32.const 12000000) (i32.const 1))";
    guests.build(saying("new").render_live(all));
    plugins.reload("swap").await.unwrap();
    assert_eq!(text(render(&plugins, "swap.txt").await), "old");
    assert_eq!(status(&plugins).reloads.rolled_back, 2);
}

#[tokio::test]
async fn two_generations_on_probation_are_rolled_back_one_after_the_other() {
    let (guests, plugins) = started(saying("first"));
    let fails_at = |call: u32, words: &str| {
        let mut guest = saying(words);
        let words = guest.text(words);
        guest.render_live(&format!(
            "(if (result i32) (i32.eq (global.get $calls) (i32.const {call})) (then (unreachable))
                (else (call $document {words} (i32.const 5))))"
        ))
    };
    guests.build(fails_at(2, "second"));
    plugins.reload("swap").await.unwrap();
    assert_eq!(text(render(&plugins, "swap.txt").await), "second");
    guests.build(fails_at(1, "third"));
    plugins.reload("swap").await.unwrap();
    assert_eq!(
        text(render(&plugins, "swap.txt").await),
        "first",
        "the third fails its first call, and the second its second"
    );
    assert_eq!(status(&plugins).reloads.rolled_back, 2);
}

#[tokio::test]
async fn a_reload_that_would_contradict_another_plugin_names_both() {
    let guests = Guests::new();
    let specs = [saying("old"), Guest::new("other").part(100_000)]
        .map(|guest| PluginSpec::new(guests.build(guest)));
    let plugins = load(&specs).unwrap();
    guests.build(saying("new").documents(["other.txt"]));
    let cause = refused(&plugins).await;
    assert!(
        cause.contains("swap and other both write `other.txt`"),
        "{cause}"
    );
    guests.build(saying("new").part(200_000));
    let cause = refused(&plugins).await;
    assert!(
        cause.contains("plugin swap") && cause.contains("plugin other"),
        "{cause}"
    );
    assert_eq!(plugins.timing().part, Some(Duration::from_millis(100)));
    assert_eq!(text(render(&plugins, "swap.txt").await), "old");
}

#[tokio::test]
async fn another_timing_is_announced_once_it_serves_and_taken_back_with_its_generation() {
    let (guests, plugins) = started(saying("old").part(100_000));
    let mut timing = plugins.watch_timing();
    timing.mark_unchanged();
    guests.build(saying("new").part(100_000));
    plugins.reload("swap").await.unwrap();
    assert!(!timing.has_changed().unwrap(), "it asks for the same");
    guests.build(saying("new").part(200_000).render_live("(unreachable)"));
    plugins.reload("swap").await.unwrap();
    assert!(timing.has_changed().unwrap());
    assert_eq!(
        timing.borrow_and_update().part,
        Some(Duration::from_millis(200))
    );
    assert_eq!(text(render(&plugins, "swap.txt").await), "new");
    assert_eq!(
        timing.borrow_and_update().part,
        Some(Duration::from_millis(100))
    );
}

#[tokio::test]
async fn documents_come_and_go_with_a_reload() {
    let (guests, plugins) = started(saying("old"));
    let old = plugins.documents();
    guests.build(saying("new").documents(["new.txt"]));
    plugins.reload("swap").await.unwrap();
    assert_eq!(text(render(&plugins, "new.txt").await), "new");
    let gone = plugins
        .render(&old[0], &Request::default(), &live())
        .await
        .unwrap_err();
    assert!(matches!(gone, RenderError::NoWriter { .. }), "{gone}");
}

#[tokio::test]
async fn an_unknown_plugin_is_told_which_there_are() {
    let (_guests, plugins) = started(saying("old"));
    let error = plugins.reload("swop").await.unwrap_err().to_string();
    assert!(
        error.contains("did you mean `swap`?") && error.contains("loaded are `swap`"),
        "{error}"
    );
}
