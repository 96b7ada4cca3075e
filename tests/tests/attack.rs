//! A plugin that loops, and one that takes all memory, in each hook: what others notice of it, and what there is instead of
//! what it should have said.
//!
//! Calm and attack take turns within one run, so that figures can be compared; they are printed, and judged with room for
//! machines that have something else to do: `cargo test -p picam-tests --test attack -- --nocapture`.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use picam_guests::{BOMB, Guest, Guests, LOOP};
use picam_tests::{Client, Host, PATIENCE, Playlist, encoded_source, percentile};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How long there is calm, and then an attack.
const TURN: Duration = Duration::from_secs(2);
/// How often.
const ROUNDS: u64 = 3;
/// At the ends of a turn nothing is measured: parts are named some time beforehand.
const EDGE: Duration = Duration::from_millis(800);
/// Times that a run is repeated in which others noticed more than they should.
const ATTEMPTS: usize = 3;
/// How much later the latest of a hundred answers may be under attack.
const RATIO: f64 = 2.0;
/// What is no difference at all, on a machine on which threads wait for each other. Milliseconds.
const NOISE: f64 = 10.0;

/// A plugin's limit on memory, and what everything else may take that an attack brings along: instances on both of its
/// sides, stacks, requests.
const CAP: u64 = 32 << 20;
const BESIDE: u64 = 8 << 20;

const ATTACKS: [(&str, &str, &str); 2] =
    [("loop", LOOP, "`call-time`"), ("bomb", BOMB, "`memory`")];

/// Whether an attack is on, by the wall clock, which plugins see as the time of capture.
fn attacking(now: Duration) -> bool {
    now.as_micros() / TURN.as_micros() % 2 == 1
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Instructions, on a plugin that is called with `$captured`, for the turns of attacks. Not on trial, when it is May 2026.
fn in_turns(instructions: &str) -> String {
    format!(
        "(if (i64.ne (local.get $captured) (i64.const 1780000000000000))
            (then (if (i64.eqz (i64.rem_u
                    (i64.add (i64.div_u (local.get $captured) (i64.const {turn})) (i64.const 1)) (i64.const 2)))
                (then {instructions}))))",
        turn = TURN.as_micros()
    )
}

/// A host with a hostile plugin and the stock playlists. It isn't benched, so that the attack goes on.
async fn host(guest: Guest) -> Result<Host> {
    host_of("pattern", guest).await
}

async fn host_of(source: &str, guest: Guest) -> Result<Host> {
    let guests = Guests::new();
    guests.add("hostile.wasm", &guest.module());
    let config = format!(
        "[stream]\nsource = {source:?}\nsize = \"320x180\"\n\
         [[plugin]]\nfile = \"ll-hls.wasm\"\n\
         [[plugin]]\nfile = \"hostile.wasm\"\nrestart-budget = 1000\nrestart-backoff = \"1ms\"\nbench-time = \"1ms\"\n"
    );
    let config = guests.add("picam.toml", config.as_bytes());
    Host::spawn(["--config".to_owned(), config]).await
}

/// What others notice: how long each of their answers took, by turn.
#[derive(Default)]
struct Noticed {
    /// Milliseconds.
    turns: BTreeMap<u128, Vec<f64>>,
}

impl Noticed {
    /// The latest but one in a hundred, in calm and under attack: medians over the turns.
    fn p99(&self) -> Result<[f64; 2]> {
        let middle = |attack: bool| {
            let mut all: Vec<_> = self
                .turns
                .iter()
                .filter(|(turn, took)| (*turn % 2 == 1) == attack && took.len() >= 50)
                .map(|(_, took)| {
                    let mut took = took.clone();
                    took.sort_by(f64::total_cmp);
                    percentile(&took, 0.99)
                })
                .collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied()
        };
        Ok([
            middle(false).context("no turn of calm")?,
            middle(true).context("no turn of attack")?,
        ])
    }
}

/// Asks for the page, the playlist and the newest part as fast as they come, through all rounds. `at` stands before addresses.
async fn others(client: Client, at: String, media: String) -> Result<Noticed> {
    let mut noticed = Noticed::default();
    let end = now() + TURN * u32::try_from(2 * ROUNDS + 1)?;
    while now() < end {
        let playlist = Playlist::get(&client, &media, "").await?;
        let parts = playlist.segments.iter().flat_map(|segment| &segment.parts);
        let part = playlist.resolve(&parts.last().context("no part")?.uri);
        for path in [
            &format!("{at}/"),
            &format!("{at}/cam/live.m3u8"),
            &media,
            &part,
        ] {
            let (turn, began) = (now(), Instant::now());
            ensure!(!client.fetch(path).await?.is_empty(), "{path} is empty");
            let took = began.elapsed().as_secs_f64() * 1e3;
            let into = Duration::from_micros(u64::try_from(turn.as_micros() % TURN.as_micros())?);
            if into >= EDGE {
                let turn = turn.as_micros() / TURN.as_micros();
                noticed.turns.entry(turn).or_default().push(took);
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
    Ok(noticed)
}

/// The most memory that the process has used since it was last asked to forget, and what it uses now. Bytes.
fn memory(host: &Host) -> Result<[u64; 2]> {
    let id = host.id().context("it runs")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line
            .context("Linux says so")?
            .trim()
            .trim_end_matches(" kB");
        Ok(kib.trim().parse::<u64>()? << 10)
    };
    Ok([field("VmHWM:")?, field("VmRSS:")?])
}

/// Where playlists are, once there are some.
async fn media(client: &Client, at: &str) -> Result<String> {
    let began = Instant::now();
    loop {
        let reply = client.get(&format!("{at}/cam/live.m3u8")).await?;
        let text = reply.text();
        if let (200, Some(name)) = (
            reply.status,
            text.lines().find(|line| !line.starts_with('#')),
        ) {
            return Ok(format!("{at}/cam/{name}"));
        }
        ensure!(began.elapsed() < PATIENCE, "{}: {text}", reply.status);
        sleep(Duration::from_millis(50)).await;
    }
}

/// Lets others ask while attacks come and go. `strike` is called again and again, with whether it is an attack's turn.
async fn under(
    what: &str,
    host: &Host,
    at: &str,
    mut strike: impl AsyncFnMut(bool) -> Result<()>,
) -> Result<()> {
    let client = host.http1()?;
    let media = media(&client, at).await?;
    sleep(Duration::from_secs(2)).await;
    for attempt in 1..=ATTEMPTS {
        let id = host.id().context("it runs")?;
        // Forgets the most memory so far (proc(5)).
        std::fs::write(format!("/proc/{id}/clear_refs"), "5")?;
        let [_, before] = memory(host)?;
        let measuring = tokio::spawn(others(client.clone(), at.to_owned(), media.clone()));
        while !measuring.is_finished() {
            strike(attacking(now())).await?;
            sleep(Duration::from_millis(20)).await;
        }
        let [calm, attacked] = measuring.await??.p99()?;
        let [most, _] = memory(host)?;
        let grown = most.saturating_sub(before);
        println!(
            "{what}: of a hundred answers to others the latest took {calm:.1} ms in calm and {attacked:.1} ms under attack; {:.1} MiB more \
             memory at most",
            grown as f64 / f64::from(1 << 20)
        );
        ensure!(
            grown <= CAP + BESIDE,
            "{what} took {grown} bytes, and the plugin's limit is {CAP}"
        );
        if attacked <= calm * RATIO || attacked <= calm + NOISE {
            return Ok(());
        }
        ensure!(
            attempt < ATTEMPTS,
            "{what}: others wait {attacked:.1} ms under attack, and {calm:.1} ms without, {ATTEMPTS} times over"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_playlist_it_costs_its_own_document_and_no_other() -> Result<()> {
    for (what, instructions, word) in ATTACKS {
        // It behaves the first time, and is asked in the attacks' turns only.
        let body = format!(
            "(if (result i32) (i32.eq (global.get $calls) (i32.const 1))
                (then (call $document (call $id (local.get $args)) (call $id_len (local.get $args)) (i32.const 2)))
                (else {instructions}))"
        );
        let host = host(Guest::new("attack").render_live(&body)).await?;
        let client = host.http1()?;
        under(
            &format!("{what} in `playlist`"),
            &host,
            "",
            async |attack| {
                if attack {
                    // Each instance behaves once, and what it said then is the answer for as long as it may be kept.
                    let status = client.get("/cam/attack.txt").await?.status;
                    ensure!(matches!(status, 200 | 503), "it is answered with {status}");
                }
                Ok(())
            },
        )
        .await?;
        ensure!(host.said().contains(word), "{}", host.said());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_naming_it_costs_its_names_and_numbers_take_their_place() -> Result<()> {
    for (what, instructions, word) in ATTACKS {
        let body = format!(
            "{} (call $decimal (local.get $number))",
            in_turns(instructions)
        );
        let host = host(Guest::new("attack").hooks(&["naming"]).name_object(&body)).await?;
        let client = host.http1()?;
        let media = media(&client, "").await?;
        let (mut named, mut numbered) = (0, 0);
        under(&format!("{what} in `naming`"), &host, "", async |_| {
            let playlist = Playlist::get(&client, &media, "").await?;
            for part in playlist.segments.iter().flat_map(|segment| &segment.parts) {
                match part.uri.starts_with("part-") {
                    true => numbered += 1,
                    false => named += 1,
                }
            }
            sleep(Duration::from_millis(300)).await;
            Ok(())
        })
        .await?;
        ensure!(
            named > 0 && numbered > 0 && host.said().contains(word),
            "{named} named, {numbered} numbered: {}",
            host.said()
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_auth_it_opens_nothing_and_who_was_let_in_watches_on() -> Result<()> {
    for (what, instructions, word) in ATTACKS {
        let host = host(Guest::new("attack").obedient(&[('x', instructions)])).await?;
        let client = host.http1()?;
        let mut number = 0;
        under(&format!("{what} in `auth`"), &host, "/~a", async |attack| {
            if attack {
                // Each is another question.
                number += 1;
                let path = format!("/~x{number}/cam/live.m3u8");
                let status = client.get(&path).await?.status;
                ensure!(status == 503, "it is answered with {status}");
            }
            Ok(())
        })
        .await?;
        ensure!(number > 0 && host.said().contains(word), "{}", host.said());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_overlay_it_costs_its_drawings_and_the_picture_goes_on() -> Result<()> {
    for (what, instructions, word) in ATTACKS {
        let mut guest = Guest::new("attack").hooks(&["overlay"]);
        // A line from the left to the right.
        let mut line = vec![2, 0, 500, 1_000, 500, 0x8000_00ff, 10];
        line.resize(13, 0);
        let line = guest.words(&line);
        let body = format!(
            "{} (call $drawing (i32.const {line}) (i32.const 1) (i64.const 0))",
            in_turns(instructions)
        );
        // The page tells of drawings where pictures come encoded.
        let host = host_of(&encoded_source(320, 180)?, guest.draw(&body)).await?;
        let client = host.http1()?;
        let (mut drawn, mut blank) = (0, 0);
        under(&format!("{what} in `overlay`"), &host, "", async |_| {
            let reply = client.get("/cam/overlay").await?;
            if reply.status == 200 {
                let sheet: Value = serde_json::from_slice(&reply.body)?;
                let last = sheet["layers"][0].as_array().and_then(|layer| layer.last());
                let operations = last.map(|drawing| &drawing["operations"]);
                match operations
                    .and_then(Value::as_array)
                    .is_none_or(Vec::is_empty)
                {
                    true => blank += 1,
                    false => drawn += 1,
                }
            }
            Ok(())
        })
        .await?;
        ensure!(
            drawn > 0 && blank > 0 && host.said().contains(word),
            "drawn {drawn} times, and not {blank} times: {}",
            host.said()
        );
    }
    Ok(())
}
