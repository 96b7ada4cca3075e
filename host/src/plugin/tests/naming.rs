//! Plugins that name media objects: what they are asked, and what becomes of what they say.

use super::*;
use crate::{
    live::{Kind, Nameless, Naming as _},
    plugin::{Namer, NamingFailure},
    time::Wall,
};

fn namer(name: &str) -> Guest {
    Guest::new(name).hooks(&[Hook::Naming.name()])
}

fn started(guest: Guest) -> (Guests, Arc<Plugins>) {
    let guests = Guests::new();
    let plugins = load(&[PluginSpec::new(guests.build(guest))]).unwrap();
    (guests, Arc::new(plugins))
}

fn refused(guest: Guest) -> String {
    let guests = Guests::new();
    refusal(&[PluginSpec::new(guests.build(guest))])
}

fn object(kind: Kind, number: u64) -> Nameless {
    Nameless {
        kind,
        number,
        captured: Wall(7_000_000),
    }
}

/// The name as the live window gets it: `None` where there is none.
async fn named(plugins: &Arc<Plugins>, kind: Kind, number: u64) -> Option<String> {
    let answer = Namer::new(plugins.clone()).name(object(kind, number));
    tokio::time::timeout(Duration::from_secs(120), answer)
        .await
        .expect("an answer in good time")
        .ok()
        .flatten()
}

#[tokio::test]
async fn a_plugin_is_told_what_an_object_is_and_its_names_get_an_ending() {
    // By number, and where that is 7, by what else it is told.
    let guest = namer("all").name_object(
        "(if (result i32) (i64.eq (local.get $number) (i64.const 7))
            (then (call $decimal (i64.add (local.get $captured) (i64.extend_i32_u (local.get $kind)))))
            (else (call $decimal (local.get $number))))",
    );
    let (_guests, plugins) = started(guest);
    assert!(plugins.names_objects());
    for (kind, number, name) in [
        (Kind::Init, 8, "8.mp4"),
        (Kind::Segment, u64::MAX, "18446744073709551615.m4s"),
        (Kind::Part, 0, "0.m4s"),
        (Kind::Init, 7, "7000000.mp4"),
        (Kind::Segment, 7, "7000001.m4s"),
        (Kind::Part, 7, "7000002.m4s"),
    ] {
        assert_eq!(named(&plugins, kind, number).await.as_deref(), Some(name));
    }
    assert_eq!(status(&plugins).failures, 0);
}

#[tokio::test]
async fn where_a_name_fails_there_is_a_number_or_a_random_name_as_the_operator_likes() {
    for (policy, random) in [
        (None, false),
        (Some(NamingFailure::Number), false),
        (Some(NamingFailure::Random), true),
    ] {
        let guests = Guests::new();
        let mut spec = PluginSpec::new(guests.build(namer("some")));
        spec.failure_policy.naming = policy;
        let namer = Namer::new(Arc::new(load(&[spec]).unwrap()));
        let names = [namer.instead(), namer.instead()];
        match names {
            [Some(one), Some(other)] => {
                assert!(random && one != other && one.len() == 32, "{one} {other}");
            }
            [one, other] => assert!(!random && one.is_none() && other.is_none()),
        }
    }
}

#[tokio::test]
async fn without_such_a_plugin_nobody_is_asked() {
    let (_guests, plugins) = started(Guest::new("other"));
    assert!(!plugins.names_objects());
    assert_eq!(named(&plugins, Kind::Part, 1).await, None);
    assert_eq!(status(&plugins).calls, 0);
}

#[tokio::test]
async fn what_can_not_be_an_address_is_no_name_and_costs_no_restart() {
    let mut guest = namer("up");
    let up = guest.text("../../etc/passwd");
    // Behaves on trial, whose number is 1,000.
    let guest = guest.name_object(&format!(
        "(if (result i32) (i64.eq (local.get $number) (i64.const 1000))
            (then (call $decimal (local.get $number))) (else (call $string {up})))"
    ));
    let (_guests, plugins) = started(guest);
    assert_eq!(named(&plugins, Kind::Part, 1).await, None);
    let status = status(&plugins);
    assert_eq!((status.failures, status.traps), (1, 0));
    let error = status.last_error.unwrap();
    assert!(
        error.contains("part 1") && error.contains("../../etc/passwd"),
        "{error}"
    );
}

#[tokio::test]
async fn a_trap_and_a_loop_leave_objects_without_names_and_the_plugin_alive() {
    let guest = namer("bad").name_object(
        "(if (i64.eq (local.get $number) (i64.const 1)) (then (unreachable)))
         (if (i64.eq (local.get $number) (i64.const 2)) (then (loop $for_ever (br $for_ever))))
         (call $decimal (local.get $number))",
    );
    let guests = Guests::new();
    let mut spec = PluginSpec::new(guests.build(guest));
    spec.limits.call = Duration::from_millis(20);
    let plugins = Arc::new(load(&[spec]).unwrap());
    assert_eq!(named(&plugins, Kind::Part, 1).await, None);
    assert_eq!(
        named(&plugins, Kind::Part, 3).await.as_deref(),
        Some("3.m4s")
    );
    assert_eq!(named(&plugins, Kind::Part, 2).await, None);
    assert_eq!(status(&plugins).traps, 2);
}

#[tokio::test]
async fn a_name_that_nobody_waits_for_any_more_costs_no_call() {
    let guest = namer("slow").name_object(
        "(if (i64.eq (local.get $number) (i64.const 1)) (then (loop $for_ever (br $for_ever))))
         (call $decimal (local.get $number))",
    );
    let (_guests, plugins) = started(guest);
    let namer = Namer::new(plugins.clone());
    let first = namer.name(object(Kind::Part, 1));
    let late: Vec<_> = (2..40).map(|n| namer.name(object(Kind::Part, n))).collect();
    tokio::task::yield_now().await;
    drop(late);
    assert_eq!(first.await.unwrap(), None);
    assert_eq!(
        named(&plugins, Kind::Part, 50).await.as_deref(),
        Some("50.m4s")
    );
    assert_eq!(status(&plugins).calls, 2);
}

#[tokio::test]
async fn a_template_is_what_name_says_too_or_the_plugin_is_not_used() {
    let (_guests, plugins) = started(namer("digits").template("$Number$"));
    assert_eq!(plugins.segment_template().as_deref(), Some("$Number$.m4s"));
    let (_guests, plugins) = started(namer("none"));
    assert_eq!(plugins.segment_template(), None);

    let error = refused(namer("other").template("s$Number$"));
    assert!(
        error.contains("`s1000.m4s`") && error.contains("`1000.m4s`"),
        "{error}"
    );
    let error = refused(namer("time").template("$Time$"));
    assert!(error.contains("$Number$"), "{error}");
    let mut guest = namer("space");
    let name = guest.text("a b");
    let error = refused(guest.name_object(&format!("(call $string {name})")));
    assert!(
        error.contains("on trial, for an init segment") && error.contains("' '"),
        "{error}"
    );
}

#[test]
fn two_plugins_that_name_are_both_named() {
    let guests = Guests::new();
    let specs = ["one", "two"].map(|name| PluginSpec::new(guests.build(namer(name))));
    let error = refusal(&specs);
    assert!(
        error.contains("plugins one and two both name media objects"),
        "{error}"
    );
}

#[tokio::test]
async fn after_a_swap_new_objects_get_the_names_of_the_new_generation() {
    let (guests, plugins) = started(namer("swap"));
    assert_eq!(
        named(&plugins, Kind::Part, 1).await.as_deref(),
        Some("1.m4s")
    );
    guests.build(
        namer("swap").name_object("(call $decimal (i64.mul (local.get $number) (i64.const 10)))"),
    );
    plugins.reload("swap").await.unwrap();
    assert_eq!(
        named(&plugins, Kind::Part, 2).await.as_deref(),
        Some("20.m4s")
    );
    // One that says what can't be is rolled back, and the name comes from the one before.
    let mut bad = namer("swap");
    let up = bad.text("..");
    guests.build(bad.name_object(&format!(
        "(if (result i32) (i64.eq (local.get $number) (i64.const 1000))
            (then (call $decimal (local.get $number))) (else (call $string {up})))"
    )));
    plugins.reload("swap").await.unwrap();
    assert_eq!(
        named(&plugins, Kind::Part, 3).await.as_deref(),
        Some("30.m4s")
    );
    assert_eq!(status(&plugins).reloads.rolled_back, 1);
}
