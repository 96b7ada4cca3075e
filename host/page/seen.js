'use strict';

/* What is being seen, whichever player shows it. */

const seen = {
  frames: 0, dropped: 0, stalls: 0, stalledSeconds: 0, fps: 0, latency: null, lastFrame: 0, mediaTime: null, late: 0,
  history: [], stallStart: 0, errors: [], connections: 0,
};

/** A picture is on the screen, or will be at `expectedDisplayTime` (as `performance.now()` counts). */
function onFrame(time, expectedDisplayTime) {
  const now = performance.now();
  if (!seen.lastFrame) { clock.hunt(); presentation.ask(); }
  // A canvas doesn't say that it waits: what came late tells, once it has come.
  const pause = now - seen.lastFrame - (time - seen.mediaTime) * 1000;
  if (player.picture !== video && seen.mediaTime !== null && pause > 250 && time > seen.mediaTime && seen.lastFrame > player.connected && !document.hidden && !seen.stallStart) {
    seen.stalls++;
    seen.stalledSeconds += pause / 1000;
  }
  seen.lastFrame = now;
  seen.mediaTime = time;
  // When this picture is on the screen, in ms after `now()`.
  seen.late = expectedDisplayTime - now;
  measureLatency();
  $('still').hidden = true;
  overlay.show();
}

function watchVideo(_, frame) {
  if (player.picture === video) onFrame(frame.mediaTime, frame.expectedDisplayTime);
  video.requestVideoFrameCallback(watchVideo);
}
if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(watchVideo);

function measureLatency() {
  const latency = ((player.engine?.exact ? presentation : clock).now() + seen.late - player.capturedAt(player.time)) / 1000;
  // A label outside of this is one that the host had no right clock for yet.
  if (!(latency > -.05 && latency < 3600)) { seen.latency = null; return; }
  seen.latency = seen.latency === null || Math.abs(latency - seen.latency) > .5 ? latency : seen.latency + (latency - seen.latency) * .1;
}

/** Seconds of media ahead of the playhead of the video element. */
function buffered() {
  for (let i = 0; i < video.buffered.length; i++)
    if (video.buffered.start(i) <= video.currentTime + .05 && video.currentTime < video.buffered.end(i))
      return video.buffered.end(i) - video.currentTime;
  return 0;
}

function stallBegins() {
  // Joining is no stall, and an outage is one.
  if (!seen.lastFrame || seen.lastFrame < player.connected || seen.stallStart || video.seeking || video.paused || document.hidden) return;
  seen.stallStart = performance.now();
  seen.stalls++;
}
function stallEnds() {
  if (!seen.stallStart) return;
  seen.stalledSeconds += (performance.now() - seen.stallStart) / 1000;
  seen.stallStart = 0;
}

/** Four times a second: pictures, and how many of them a second. */
function count() {
  const { raw, rawDropped } = player.engine?.counts?.() ?? videoCounts();
  // The browser counts from 0 for each source.
  const last = seen.history.at(-1);
  const restarted = last && raw < last.raw;
  seen.frames += raw - (restarted ? 0 : last?.raw ?? 0);
  seen.dropped += rawDropped - (restarted ? 0 : last?.rawDropped ?? 0);
  const now = performance.now();
  // At a tenth more speed a tenth more pictures are shown, and the stream's rate is still the same.
  const played = last ? last.played + (now - last.now) * player.rate : 0;
  seen.history.push({ now, played, raw, rawDropped, shown: seen.frames - seen.dropped });
  while (seen.history[0].now < now - 2100) seen.history.shift();
  const first = seen.history[0];
  if (now - first.now > 900) seen.fps = (seen.frames - seen.dropped - first.shown) / (played - first.played) * 1000;
}

function videoCounts() {
  const quality = video.getVideoPlaybackQuality?.();
  return { raw: quality?.totalVideoFrames ?? 0, rawDropped: quality?.droppedVideoFrames ?? 0 };
}

function complain(text) {
  seen.errors.push(`${new Date().toISOString()} ${text.slice(0, 300)}`);
  if (seen.errors.length > 50) seen.errors.shift();
}

/** The last picture stays in view, dimmed, until there is another. */
function keepStill() {
  const size = player.size, still = $('still');
  if (!size || (player.picture === video && video.readyState < 2)) return;
  [still.width, still.height] = size;
  try { still.getContext('2d').drawImage(player.picture, 0, 0, ...size); still.hidden = false; }
  catch (error) { complain(`no still: ${error.message}`); }
}
