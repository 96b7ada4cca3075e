//! What is loaded, what is refused, and what the refusal says.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const LOOP: &str = "(loop $for_ever (br $for_ever))";

fn spec(guests: &Guests, guest: Guest) -> PluginSpec {
    PluginSpec::new(guests.build(guest))
}

#[test]
fn a_core_module_with_the_contract_in_it_is_made_a_component() {
    let guests = Guests::new();
    let plugins = load(&[spec(&guests, Guest::new("core"))]).unwrap();
    assert_eq!(plugins.documents()[0].path, "core.txt");
}

#[test]
fn a_core_module_without_it_says_how_to_get_one() {
    let guests = Guests::new();
    let path = guests.add(
        "bare.wasm",
        &wat::parse_str("(module (func (export \"f\")))").unwrap(),
    );
    let error = refusal(&[PluginSpec::new(path)]);
    assert!(error.contains("bare.wasm"), "{error}");
    assert!(
        error.contains("no plugin") || error.contains("core module"),
        "{error}"
    );
}

#[test]
fn what_imports_wasi_is_refused_with_the_import_and_the_way_out() {
    let guests = Guests::new();
    let component = r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#;
    let path = guests.add("wasi.wasm", &wat::parse_str(component).unwrap());
    let error = refusal(&[PluginSpec::new(path)]);
    for word in ["wasi.wasm", "`wasi:cli/environment@0.2.0`", "--stub-wasi"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_lifecycle_of_another_shape_is_told_apart() {
    let guests = Guests::new();
    let component = r#"(component
        (component $empty)
        (instance $nothing (instantiate $empty))
        (export "picam:plugin/lifecycle@0.1.0" (instance $nothing))
        (export "picam:plugin/playlist@0.1.0" (instance $nothing)))"#;
    let path = guests.add("hollow.wasm", &wat::parse_str(component).unwrap());
    let error = refusal(&[PluginSpec::new(path)]);
    assert!(
        error.contains("doesn't match the contract") && error.contains("describe"),
        "{error}"
    );
}

#[test]
fn a_plugin_has_the_hooks_that_it_exports_and_any_of_them_will_do() {
    let guests = Guests::new();
    for hooks in [
        &[Hook::Naming][..],
        &[Hook::Auth],
        &[Hook::Overlay],
        &Hook::ALL,
    ] {
        let guest = Guest::new("some")
            .hooks(hooks)
            .state("(call $string (i32.const 0) (i32.const 0))", "");
        let plugins = load(&[spec(&guests, guest)]).unwrap();
        let found = status(&plugins).hooks;
        let found: Vec<_> = found.iter().map(|hook| hook.hook).collect();
        assert_eq!(found, hooks);
        let writes = hooks.contains(&Hook::Playlist);
        assert_eq!(plugins.documents().is_empty(), !writes, "{hooks:?}");
    }
}

#[test]
fn others_load_beside_plugins_of_which_none_writes_documents() {
    let guests = Guests::new();
    let draws = spec(&guests, Guest::new("draws").hooks(&[Hook::Overlay]));
    let writes = spec(&guests, Guest::new("writes"));
    let stock = spec(&guests, Guest::new("stock"));
    for (named, loaded) in [
        (&[draws.clone()][..], &["draws", "stock"][..]),
        (&[draws, writes], &["draws", "writes"]),
        (&[], &["stock"]),
    ] {
        let plugins =
            Plugins::load_with(named, std::slice::from_ref(&stock), &environment()).unwrap();
        let names: Vec<_> = plugins
            .status()
            .into_iter()
            .map(|plugin| plugin.name)
            .collect();
        assert_eq!(names, loaded);
    }
}

#[test]
fn a_component_that_exports_no_hook_learns_which_there_are() {
    let guests = Guests::new();
    let error = refusal(&[spec(&guests, Guest::new("none").hooks(&[]))]);
    for word in [
        "none.wasm",
        "without effect",
        "`playlist`, `naming`, `auth` and `overlay`",
    ] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn each_hook_is_tried_before_it_is_let_at_the_stream() {
    let guests = Guests::new();
    for (hook, guest, words) in [
        (
            Hook::Naming,
            Guest::new("name").name_object("(unreachable)"),
            "for an init segment: `name`",
        ),
        (
            Hook::Auth,
            Guest::new("decide").decide("(unreachable)"),
            "for a stranger: `decide`",
        ),
        (
            Hook::Overlay,
            Guest::new("draw").draw("(unreachable)"),
            "for a frame of 1280x720: `draw`",
        ),
    ] {
        let error = refusal(&[spec(&guests, guest.hooks(&[hook]))]);
        assert!(
            error.contains("on trial, ") && error.contains(words),
            "{error}"
        );
    }
}

#[test]
fn damaged_bytes_never_get_far() {
    let guests = Guests::new();
    let whole = std::fs::read(guests.build(Guest::new("whole"))).unwrap();
    for cut in (0..whole.len()).step_by(97) {
        let path = guests.add("half.wasm", &whole[..cut]);
        assert!(refusal(&[PluginSpec::new(path)]).contains("half.wasm"));
    }
}

#[test]
fn a_mistyped_option_names_the_one_that_was_meant() {
    let guests = Guests::new();
    let mut spec = spec(
        &guests,
        Guest::new("options").options(&["part-ms", "window-s"]),
    );
    spec.config = vec![("windows".into(), "3".into())];
    let error = refusal(&[spec]);
    assert!(
        error.contains("`windows` (set to `3`)") && error.contains("did you mean `window-s`?"),
        "{error}"
    );
}

#[test]
fn a_plugin_can_refuse_its_configuration() {
    let guests = Guests::new();
    let mut guest = Guest::new("picky");
    let why = guest.text("part-ms is 5: at least 20\nare needed");
    let error = refusal(&[spec(
        &guests,
        guest.init(&format!("(return (call $no {why}))")),
    )]);
    assert!(
        error
            .ends_with("it doesn't accept its configuration: part-ms is 5: at least 20 are needed"),
        "{error}"
    );
}

#[test]
fn a_loop_or_a_trap_on_the_way_up_names_the_step() {
    let guests = Guests::new();
    for (guest, step) in [
        (Guest::new("describe-loop").describe(LOOP), "`describe`"),
        (Guest::new("init-loop").init(LOOP), "`init`"),
    ] {
        let mut spec = spec(&guests, guest);
        spec.limits.start = Duration::from_millis(20);
        let error = refusal(&[spec]);
        assert!(
            error.contains(step) && error.contains("`start-time`"),
            "{error}"
        );
    }
    let trap = Guest::new("init-trap").init("(unreachable)");
    let error = refusal(&[spec(&guests, trap)]);
    assert!(
        error.contains("`init` failed") && error.contains("unreachable"),
        "{error}"
    );
    let start = Guest::new("start-loop").functions(&format!("(func $go {LOOP}) (start $go)"));
    let mut spec = spec(&guests, start);
    spec.limits.start = Duration::from_millis(20);
    let error = refusal(&[spec]);
    assert!(
        error.contains("instantiating it failed") && error.contains("`start-time`"),
        "{error}"
    );
}

#[test]
fn too_little_memory_to_start_with_names_the_limit() {
    let guests = Guests::new();
    let mut spec = spec(&guests, Guest::new("big"));
    spec.limits.memory = 64 << 10;
    let error = refusal(&[spec]);
    assert!(
        error.contains("0.1 MiB") && error.contains("`memory`"),
        "{error}"
    );
}

#[test]
fn a_grant_is_not_in_force_in_describe() {
    let guests = Guests::new();
    let early = Guest::new("early")
        .import("clock", "now", "(result i64)")
        .describe("(drop (call $now))");
    let mut spec = spec(&guests, early);
    spec.grants.clock = true;
    let error = refusal(&[spec]);
    assert!(error.contains("`clock` from `describe`"), "{error}");
}

#[test]
fn the_trial_finds_what_would_fail_later_and_says_for_which_stream() {
    let guests = Guests::new();
    // Traps only where `presentation.ended` is true.
    let guest = Guest::new("end").render(
        "(if (i32.load8_u offset=48 (local.get $args)) (then (unreachable)))
         (call $document (i32.const 0) (i32.const 0) (i32.const 1))",
    );
    let error = refusal(&[spec(&guests, guest)]);
    assert!(
        error.contains("`end.txt` of a stream that has ended"),
        "{error}"
    );
    let guest = Guest::new("wait").render("(call $wait (i64.const 1) (i32.const 0))");
    let error = refusal(&[spec(&guests, guest)]);
    assert!(
        error.contains("has just begun") && error.contains("already"),
        "{error}"
    );
}

#[test]
fn bad_and_too_many_documents_are_refused() {
    let guests = Guests::new();
    let error = refusal(&[spec(&guests, Guest::new("slash").documents(["a/b"]))]);
    assert!(
        error.contains("`a/b`") && error.contains("slash"),
        "{error}"
    );
    let error = refusal(&[spec(&guests, Guest::new("many").documents(0..200))]);
    assert!(error.contains("200 documents"), "{error}");
}

#[test]
fn two_plugins_that_disagree_are_both_named() {
    let guests = Guests::new();
    let one = spec(
        &guests,
        Guest::new("one").documents(["same.txt"]).part(100_000),
    );
    let two = spec(&guests, Guest::new("two").documents(["same.txt"]));
    let error = refusal(&[one.clone(), two]);
    assert!(
        error.contains("plugins one and two both write `same.txt`"),
        "{error}"
    );
    let three = spec(&guests, Guest::new("three").part(200_000));
    let error = refusal(&[one.clone(), three]);
    assert!(
        error.contains("plugin one") && error.contains("plugin three"),
        "{error}"
    );
    let error = refusal(&[one.clone(), one]);
    assert!(error.contains("`one` is loaded twice"), "{error}");
}

#[test]
fn a_plugin_is_found_by_name_in_a_plugin_directory() {
    let guests = Guests::new();
    guests.build(Guest::new("mine"));
    let environment = Environment {
        plugin_dirs: vec![guests.path()],
        cache_dir: None,
    };
    let plugins = Plugins::load(&[PluginSpec::new("mine")], &environment).unwrap();
    assert_eq!(status(&plugins).name, "mine");
}

#[test]
fn the_second_start_takes_the_code_from_the_cache() {
    let guests = Guests::new();
    let specs = [spec(&guests, Guest::new("kept"))];
    let cache_dir = guests.path().join("cache");
    let environment = Environment {
        plugin_dirs: Vec::new(),
        cache_dir: Some(cache_dir.clone()),
    };
    let from_cache = || status(&Plugins::load(&specs, &environment).unwrap()).from_cache;
    assert!(!from_cache());
    assert!(from_cache());
    // Others could have written there: the cache is left alone, and the plugin loads all the same.
    std::fs::set_permissions(&cache_dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!from_cache());
}
