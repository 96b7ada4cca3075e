//! The binary against a camera that doesn't encode, in a virtual machine: vivid, which has formats and controls and breaks
//! on demand.

use std::time::Duration;

use anyhow::{Context, ensure};
use picam_tests::{
    Client, program,
    vm::{Image, Options, Vm},
};
use reqwest::Method;
use tokio::time::{Instant, sleep};

/// Hang guard: emulated, on a machine that builds something else, a second can take many.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_raw_camera_is_shown_set_streamed_and_streamed_again_after_it_broke() {
    let image = Image::new(&["vivid"])
        .and_then(|image| image.stripped("picam-host", &program()?))
        .and_then(|image| image.tool("v4l2-ctl"))
        .unwrap()
        .file("picam.toml", CONFIG);
    let options = Options {
        limit: 3 * PATIENCE,
        ports: vec![8081],
        ..Options::default()
    };
    let mut vm = Vm::boot(&image, &options).await.unwrap();
    if let Err(error) = breaks_and_comes_back(&mut vm).await {
        let log = vm.run("cat /tmp/host.log").await;
        let log = log.map_or_else(|error| error.to_string(), |output| output.text());
        panic!(
            "{error:?}\n--- the guest:\n{log}\n--- its console:\n{}",
            vm.console()
        );
    }
}

const CONFIG: &str = r#"
operator = "0.0.0.0:8081"
[stream]
source = "/dev/video0"
size = "320x180"
fps = 10
[stream.controls]
brightness = 100
horizontal_flip = true
"#;

async fn breaks_and_comes_back(vm: &mut Vm) -> anyhow::Result<()> {
    // One input, as a webcam.
    const PLUG_IN: &str = "load vivid n_devs=1 vid_cap_nr=0 num_inputs=1 input_types=0";
    vm.must(PLUG_IN).await?;

    let text = vm.must("picam-host cameras").await?;
    for wanted in [
        "/dev/video0: vivid (vivid)\n",
        "\n  YUYV (YUYV 4:2:2), is encoded here\n    320x180 at ",
        "\n    brightness ",
        "= 128  (0 to 255)",
        "/dev/video1 (vivid) captures no pictures",
    ] {
        ensure!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
    let json = vm.must("picam-host cameras --json /dev/video0").await?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(json[0]["driver"] == "vivid", "{json}");

    for (wrong, told) in [
        ("brightnes = 1", "did you mean `brightness`?"),
        ("brightness = 1000", "expected 0 to 255"),
    ] {
        let output = vm
            .run(&format!(
                "printf '[stream]\\nsource = \"/dev/video0\"\\n[stream.controls]\\n{wrong}\\n' >/tmp/wrong.toml\n\
                 picam-host --config /tmp/wrong.toml"
            ))
            .await?;
        ensure!(
            output.status != 0 && output.text().contains(told),
            "{wrong} is told as {}",
            output.text()
        );
    }
    let output = vm.run("picam-host --source /dev/video9").await?;
    ensure!(output.status != 0 && output.text().contains("there is no /dev/video9"));

    vm.must("picam-host --config /picam.toml >/tmp/host.log 2>&1 & echo $! >/tmp/host.pid")
        .await?;
    let operator = Client::http1(vm.port(8081))?;
    reaches(&operator, PICTURES, 10.0).await?;
    let log = vm.must("cat /tmp/host.log").await?;
    ensure!(
        log.contains("(vivid, vivid), YU12 320x180 at ") && log.contains(", encoded by openh264"),
        "the description is another one"
    );
    is_set(vm, 100).await?;

    // Set while it runs. It stays so.
    let put = |query: &str| {
        let request = operator.request(Method::PUT, &format!("/api/v1/controls?{query}"));
        operator.send(request)
    };
    let reply = put("brightness=50").await?;
    ensure!(reply.status == 200, "{}", reply.text());
    is_set(vm, 50).await?;
    let reply = put("brightness=256").await?;
    ensure!(
        reply.status == 422 && reply.text().contains("expected 0 to 255"),
        "{}",
        reply.text()
    );
    let listed: serde_json::Value =
        serde_json::from_str(&operator.get("/api/v1/controls").await?.text())?;
    let listed = listed.as_array().context("no list")?;
    ensure!(
        listed
            .iter()
            .any(|control| control["name"] == "brightness" && control["value"] == 50),
        "{listed:?}"
    );

    // Two buffers are marked as damaged: they are left out, and that is all.
    let before = operator.metric(DROPPED).await?;
    for _ in 0..2 {
        vm.must("v4l2-ctl -d /dev/video0 -c inject_v4l2_buf_flag_error=1 && sleep 1")
            .await?;
    }
    ensure!(
        operator.metric(DROPPED).await? >= before + 2.0,
        "damage isn't counted"
    );
    grows(&operator).await?;
    ensure!(operator.metric(RESTARTS).await? == 0.0);

    // The queue breaks: the device is opened anew.
    vm.must("v4l2-ctl -d /dev/video0 -c inject_fatal_streaming_error=1")
        .await?;
    comes_back(&operator, 1.0).await?;
    is_set(vm, 50).await?;

    // It is unplugged, and plugged in again.
    vm.must("v4l2-ctl -d /dev/video0 -c disconnect=1").await?;
    vm.until("grep -q 'was unplugged' /tmp/host.log", PATIENCE)
        .await?;
    vm.until("rmmod vivid", PATIENCE).await?;
    vm.must(PLUG_IN).await?;
    comes_back(&operator, 2.0).await?;
    is_set(vm, 50).await
}

/// Pictures left out because they were damaged.
const DROPPED: &str = "picam_stream_dropped_pictures_total{cause=\"damaged\"}";
const PICTURES: &str = "picam_stream_pictures_total";
const RESTARTS: &str = "picam_source_restarts_total";

/// Waits until a metric is at least so much.
async fn reaches(operator: &Client, name: &str, value: f64) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let now = operator.metric(name).await;
        match now {
            Ok(now) if now >= value => return Ok(()),
            // It may not listen yet.
            now => ensure!(
                Instant::now() < end,
                "{name} never came to {value}; it is {now:?}"
            ),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Waits for more pictures of the stream.
async fn grows(operator: &Client) -> anyhow::Result<()> {
    let before = operator.metric(PICTURES).await?;
    reaches(operator, PICTURES, before + 10.0).await
}

async fn comes_back(operator: &Client, times: f64) -> anyhow::Result<()> {
    reaches(operator, RESTARTS, times).await?;
    grows(operator).await
}

/// The controls are as they were set.
async fn is_set(vm: &mut Vm, brightness: u8) -> anyhow::Result<()> {
    let text = vm
        .must("v4l2-ctl -d /dev/video0 -C brightness,horizontal_flip")
        .await?;
    ensure!(
        text == format!("brightness: {brightness}\nhorizontal_flip: 1\n"),
        "the controls are {text:?}"
    );
    Ok(())
}
