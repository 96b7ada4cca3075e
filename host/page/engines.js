'use strict';

/* The ways to play. Each is an object that plays from when it is made:

     name          as `picam.engine` has it
     picture       the element that shows the picture
     size          [width, height] of the picture, or null
     capturedAt(time)   when the picture at this time of the stream was captured, by the host's clock, in ms since 1970; NaN
                   if nothing says so
     exact         `player.time` is the time of the picture as the host counts it, and its date is by the presentation clock
     lostSince     Date since which the camera is lost, if the picture is a stand-in for it; else null
     distance, target   seconds that the playhead is behind the newest picture, and that it should be; null where there is
                   no being behind
     buffer, rate
     counts()      pictures that came, and those of them that were never shown; left to the video element unless there
     play(), pause(), toLive(), tend() (four times a second), close()

   They report to `player`: `fail`, `offline`, `later`, `well`. */

/* Seconds beyond the distance that a playlist asks for, so that one late part isn't seen. */
const MARGIN = .05;

/** A library that is loaded when it is first needed, since most viewers never need it. */
const libraries = {};
function library(name) {
  return libraries[name] ??= new Promise((loaded, failed) => {
    const script = document.createElement('script');
    script.src = name;
    script.onload = loaded;
    script.onerror = () => {
      delete libraries[name];
      failed(new Error(`this picam-host was built without ${name}`));
    };
    document.head.append(script);
  });
}

// ----------------------------------------------------------------------------------------------------------- our own player

/** `player.js` on the canvas or in the video. It connects anew by itself. */
function ownEngine(name, { Player }) {
  const own = new Player(null, { url: 'cam/live.mp4', mode: name, canvas: $('canvas'), video });
  own.addEventListener('complaint', ({ detail }) => complain(detail));
  own.addEventListener('state', () => {
    const act = {
      connecting: () => { seen.connections++; },
      playing: () => player.well(),
      waiting: () => player.fail('waiting', 'Waiting for the camera…', 'The host runs, and there is no picture yet.'),
      ended: () => player.fail('ended', 'The stream has ended', 'If it starts again, it will play here.'),
      refused: () => player.refused(),
      offline: () => player.offline(),
      blocked: () => { $('start').hidden = false; },
      unplayable: () => player.cannot('This browser can’t decode the stream with it.'),
    }[own.state];
    act?.();
    show();
  });
  if (name === 'webcodecs') own.addEventListener('frame', ({ detail }) => onFrame(detail.time, detail.expectedDisplayTime));
  own.play();
  return {
    name,
    get picture() { return own.element ?? (name === 'webcodecs' ? $('canvas') : video); },
    get size() { return own.size; },
    capturedAt: time => own.capturedAt(time),
    get lostSince() { return own.lostSince; },
    exact: true,
    distance: null, target: null,
    get buffer() { return own.buffer; },
    get rate() { return own.rate; },
    counts: name === 'webcodecs' ? () => ({ raw: own.frames, rawDropped: own.dropped }) : undefined,
    play: () => { $('start').hidden = true; own.play(); },
    pause: () => own.pause(),
    toLive: () => own.play(),
    tend() {},
    close: () => own.destroy(),
  };
}

// ------------------------------------------------------------------------------------------------------------------ hls.js

function hlsEngine() {
  const hls = new Hls({
    lowLatencyMode: true,
    // The worker is for transport streams; CMAF passes through, and one hop less is a little less delay.
    enableWorker: false,
    backBufferLength: 8,
    maxBufferLength: 30,
    // The speed is governed here: hls.js' own control wants a second of buffer, more than there is.
    maxLiveSyncPlaybackRate: 1,
    liveSyncOnStallIncrease: 0,
    liveDurationInfinity: true,
    manifestLoadPolicy: { default: { maxTimeToFirstByteMs: 10000, maxLoadTimeMs: 10000, timeoutRetry: null, errorRetry: null } },
    playlistLoadPolicy: { default: { maxTimeToFirstByteMs: 12000, maxLoadTimeMs: 15000,
      timeoutRetry: { maxNumRetry: 1, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: { maxNumRetry: 2, retryDelayMs: 300, maxRetryDelayMs: 1000, shouldRetry: retriable } } },
    fragLoadPolicy: { default: { maxTimeToFirstByteMs: 10000, maxLoadTimeMs: 30000,
      timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: { maxNumRetry: 3, retryDelayMs: 200, maxRetryDelayMs: 1000, shouldRetry: retriable } } },
    // A cached answer may lead to a presentation that is over.
    xhrSetup(xhr, url, context) {
      if (context.type === 'manifest') { xhr.open('GET', url); xhr.setRequestHeader('Cache-Control', 'no-cache'); }
    },
  });
  const control = {
    penalty: 0, dry: 0, leads: [], loadedAt: 0, moved: performance.now(), nudged: -Infinity, mediaErrors: 0, lastTime: -1,
  };
  const details = () => hls.latestLevelDetails;

  hls.on(Hls.Events.MANIFEST_LOADED, (_, { levels, stats, networkDetails }) => {
    learnFrom(stats, networkDetails);
    player.playlist = levels[0]?.url ?? null;
    // It still leads to what is over: nothing took its place, so far.
    if (player.playlist && player.playlist === player.endedPlaylist) {
      hls.stopLoad();
      player.fail('ended', 'The stream has ended', 'If it starts again, it will play here.');
      player.later(3000);
    }
  });
  hls.on(Hls.Events.LEVEL_LOADED, (_, { details, stats, networkDetails }) => {
    learnFrom(stats, networkDetails);
    if (details.live) { player.well(); return; }
    // ENDLIST: the source ended, or another presentation took over. What is left is played, then live.m3u8 is asked.
    player.endedPlaylist = player.playlist;
    player.later(Math.min(3000, Math.max(0, details.edge - video.currentTime) * 1000 + 50));
  });
  hls.on(Hls.Events.FRAG_BUFFERED, () => { control.loadedAt = performance.now(); });
  hls.on(Hls.Events.ERROR, (_, data) => {
    const code = data.response?.code ?? 0;
    complain(`${data.type} ${data.details}${code ? ` ${code}` : ''}${data.fatal ? ' (fatal)' : ''}: ${data.error?.message ?? data.reason ?? ''}`);
    if (data.details === Hls.ErrorDetails.LEVEL_LOAD_ERROR && (code === 404 || code === 410)) {
      // The host was started anew, or this presentation is forgotten.
      player.later(0);
    } else if (!data.fatal) {
      if (data.type === Hls.ErrorTypes.NETWORK_ERROR && code === 0 && data.details.includes('level')) player.offline();
    } else if (data.details === 'manifestIncompatibleCodecsError') {
      player.cannot(data.error?.message ?? '');
    } else if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
      // Once in a while a decoder needs a fresh start; if that doesn't help for five seconds, so does all the rest.
      const now = performance.now();
      const again = now - control.mediaErrors < 5000;
      control.mediaErrors = now;
      if (again) player.later(500); else { keepStill(); hls.recoverMediaError(); playVideo(); }
    } else player.answered(code);
  });
  hls.attachMedia(video);
  hls.loadSource(new URL('cam/live.m3u8', location.href).href);
  playVideo();

  const waiting = () => {
    // Pictures that came too late although they came call for more distance, for a while. An outage doesn't.
    const known = details();
    if (known?.live && !player.trouble && known.age < 3 * known.partTarget && performance.now() - player.connected > 2000) {
      control.dry = performance.now();
      control.penalty = Math.min(1, control.penalty + Math.max(known.partTarget, .1));
    }
  };
  video.addEventListener('waiting', waiting);

  const engine = {
    name: 'hls.js', picture: video,
    get size() { return videoSize(); },
    capturedAt(time) {
      const fragment = details()?.fragments.findLast(f => f.programDateTime && f.start <= time + .001);
      return fragment ? fragment.programDateTime + (time - fragment.start) * 1000 : NaN;
    },
    /** By the date range that says so. */
    get lostSince() {
      const now = engine.capturedAt(video.currentTime);
      const lost = Object.values(details()?.dateRanges ?? {}).find(range => range?.class === 'picam.camera-lost'
        && range.startDate.getTime() <= now && !(range.endDate?.getTime() <= now));
      return lost?.startDate ?? null;
    },
    /** Behind the newest picture the playlist knows of, which ages between two playlists. */
    get distance() {
      const known = details();
      return known ? known.edge + Math.min(known.age, 1) - video.currentTime : 0;
    },
    get target() {
      const known = details();
      return known ? (known.partHoldBack || known.holdBack || 3 * known.targetduration) + MARGIN + control.penalty : 6;
    },
    get buffer() { return buffered(); },
    get rate() { return video.playbackRate; },
    play: playVideo,
    pause: () => video.pause(),
    toLive() {
      control.moved = performance.now();
      const to = hls.liveSyncPosition;
      if (to !== null && Math.abs(to - video.currentTime) > .2) video.currentTime = to;
      if (video.playbackRate !== 1) video.playbackRate = 1;
      playVideo();
    },
    tend: () => tendHls(engine, control, details()),
    close() { video.removeEventListener('waiting', waiting); hls.destroy(); video.playbackRate = 1; },
  };
  return engine;
}

/** Keeps the distance, and sees to it that pictures move. */
function tendHls(engine, control, details) {
  const now = performance.now();
  if (video.paused || document.hidden || !details) { control.moved = now; return; }
  const lead = buffered();
  if (video.currentTime !== control.lastTime) { control.lastTime = video.currentTime; control.moved = now; }
  // Half a minute after it last ran dry, the distance shrinks again, by a hundredth of a second per second.
  if (now - control.dry > 30000) control.penalty = Math.max(0, control.penalty - .0025);
  if (video.seeking) return;
  if (player.behind) { video.playbackRate = 1; return; }

  const part = details.partTarget || details.targetduration;
  const excess = engine.distance - engine.target;
  control.leads.push([now, lead]);
  while (control.leads[0][0] < now - 1000) control.leads.shift();
  const least = Math.min(...control.leads.map(([, value]) => value));
  if (excess > 1.5 + part) {
    if (details.live) player.toLive();
  } else if (excess > .12 && least > Math.max(.15, part * .75)) {
    video.playbackRate = Math.min(1.1, 1 + excess * .25);
  } else if (excess < -.5 * part) {
    video.playbackRate = .96;
  } else if (excess < .04 && excess > -.1 * part) {
    video.playbackRate = 1;
  } else if (video.playbackRate > 1 && least < part * .5) {
    video.playbackRate = 1;
  }

  // Nothing moves. A hole is jumped; a position that isn't filled is left for a fresh one; then all begins anew.
  const still = now - control.moved;
  if (still < 700 || !details.live) return;
  for (let i = 0; i < video.buffered.length; i++) {
    const start = video.buffered.start(i);
    if (start > video.currentTime && start - video.currentTime < 5) { video.currentTime = start + .01; return; }
  }
  if (player.trouble) return;
  // hls.js sometimes takes the last part of a segment for loaded, and waits until the segment's parts leave the list.
  const stuck = details.age < 1 && now - control.loadedAt > 700;
  // A host that is silent itself has nothing else to show; asking it anew would only bring old pictures.
  if (still > (details.age < 3 ? 5000 : 20000) || (stuck && now - control.nudged < 4000)) {
    complain(`nothing moved for ${Math.round(still)} ms: connecting anew`);
    player.later(0);
    control.moved = now;
  } else if (stuck) {
    control.nudged = now;
    complain('the playlist grows and nothing is loaded: jumping to the live edge');
    player.toLive();
  }
}

/** Which failed requests hls.js should repeat by itself: not those that the host answered with no. */
function retriable(config, count, timeout, response, retry) {
  return count < config.maxNumRetry && navigator.onLine !== false && !(response?.code >= 400 && response.code < 500) && retry !== null;
}

function learnFrom(stats, xhr) {
  if (!stats?.loading.first || typeof xhr?.getResponseHeader !== 'function') return;
  const shift = Date.now() - performance.now();
  clock.learn(stats.loading.start + shift, stats.loading.first + shift, name => xhr.getResponseHeader(name));
}

// ----------------------------------------------------------------------------------------------------------------- dash.js

/** dash.js follows the MPD, which says how far behind it plays. */
function dashEngine() {
  const dash = dashjs.MediaPlayer().create();
  const Events = dashjs.MediaPlayer.events;
  dash.initialize(video, new URL('cam/live.mpd', location.href).href, true);
  dash.on(Events.ERROR, ({ error }) => {
    complain(`dash.js ${error?.code}: ${error?.message}`);
    // Of the request that failed, if one did.
    player.answered(error?.data?.response?.status ?? error?.data?.status ?? 0);
  });
  dash.on(Events.MANIFEST_LOADED, () => player.well());
  playVideo();
  let moved = performance.now(), last = -1;
  return {
    name: 'dash.js', picture: video,
    get size() { return videoSize(); },
    capturedAt(time) {
      const behind = dash.isReady() ? dash.getCurrentLiveLatency() : NaN;
      return clock.now() - (behind - (time - video.currentTime)) * 1000;
    },
    lostSince: null,
    get distance() { return dash.isReady() ? dash.getCurrentLiveLatency() || 0 : 0; },
    get target() { return (dash.isReady() && dash.getTargetLiveDelay()) || 3; },
    get buffer() { return buffered(); },
    get rate() { return video.playbackRate; },
    play: () => playVideo(),
    pause: () => video.pause(),
    toLive() { if (dash.isReady()) dash.seekToOriginalLive(); playVideo(); },
    tend() {
      const now = performance.now();
      if (video.currentTime !== last || video.paused || document.hidden) { last = video.currentTime; moved = now; }
      // After the host was started anew, nothing of what it asks for exists.
      if (now - moved > 8000) { moved = now; player.later(0); }
    },
    close: () => dash.destroy(),
  };
}

// ------------------------------------------------------------------------------------------------------- the browser itself

function nativeEngine() {
  const listeners = new AbortController();
  const on = (name, act) => video.addEventListener(name, act, { signal: listeners.signal });
  on('error', () => {
    complain(`native: ${video.error?.message || video.error?.code}`);
    player.offline();
    player.later();
  });
  on('ended', () => player.later(500));
  on('playing', () => player.well());
  video.src = 'cam/live.m3u8';
  playVideo();
  const edge = () => video.seekable.length ? video.seekable.end(video.seekable.length - 1) : null;
  return {
    name: 'native', picture: video,
    get size() { return videoSize(); },
    capturedAt(time) {
      const start = video.getStartDate?.();
      return start ? start.getTime() + time * 1000 : NaN;
    },
    lostSince: null,
    get distance() { const end = edge(); return end === null ? 0 : end - video.currentTime; },
    target: 6,
    get buffer() { return buffered(); },
    get rate() { return video.playbackRate; },
    play: playVideo,
    pause: () => video.pause(),
    toLive() {
      const end = edge();
      if (end !== null && end - video.currentTime > .2) video.currentTime = end;
      playVideo();
    },
    tend() {},
    close() { listeners.abort(); video.removeAttribute('src'); video.load(); },
  };
}

const videoSize = () => video.videoWidth ? [video.videoWidth, video.videoHeight] : null;

async function playVideo() {
  if (player.userPaused) return;
  try { await video.play(); $('start').hidden = true; }
  catch (error) {
    // Some phones forbid playing by itself even without sound (low power mode): then a tap starts it.
    if (error.name === 'NotAllowedError') $('start').hidden = false;
  }
}
