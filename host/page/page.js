'use strict';

// --------------------------------------------------------------------------------------------------------------- playing

const NAMES = {
  webcodecs: 'picam, WebCodecs', mse: 'picam, Media Source', 'hls.js': 'hls.js (Low-Latency HLS)', 'dash.js': 'dash.js (DASH)',
  native: 'The browser’s HLS',
};

const player = {
  engine: null,
  own: null,            // the module player.js, or null where the browser can't load it
  names: [],            // what can play here, best first
  choice: 'auto',       // one of these, or 'auto'
  ruledOut: new Set(),  // what turned out not to play this stream
  trouble: null,        // [state, what to say, more], while something keeps the stream from coming
  userPaused: false, behind: false,
  retry: 0, retryTimer: 0, connected: 0, opening: 0,
  playlist: null, endedPlaylist: null,

  /** Finds out what there is to play with. */
  async start() {
    this.own = await import(new URL('player.js', document.baseURI)).catch(error => { complain(`player.js: ${error.message}`); return null; });
    const native = !!video.canPlayType('application/vnd.apple.mpegurl');
    const mse = !!(globalThis.ManagedMediaSource ?? globalThis.MediaSource);
    this.names = [...this.own?.modes() ?? [], ...(mse ? ['hls.js'] : [])];
    // iPhones play HLS better than anything that a page can do.
    if (native) this.names[globalThis.MediaSource ? 'push' : 'unshift']('native');
    let kept = null;
    try { kept = localStorage.getItem('player'); } catch { /* Private windows forget; so be it. */ }
    const wanted = new URLSearchParams(location.search).get('player') ?? kept;
    if (this.names.includes(wanted)) this.choice = wanted;
    this.connect();
    // Not every host has it.
    if (mse && await fetch('cam/live.mpd', { method: 'HEAD' }).then(({ ok }) => ok, () => false)) {
      this.names.splice(this.names.indexOf('hls.js') + 1, 0, 'dash.js');
      if (wanted === 'dash.js') this.choose(wanted); else offer();
    }
  },

  choose(name) {
    this.choice = name;
    this.ruledOut.clear();
    this.retry = 0;
    this.connect();
  },

  /** Opens the stream anew; the last picture stays in view, dimmed, until there is another. */
  async connect() {
    clearTimeout(this.retryTimer);
    this.retryTimer = 0;
    const opening = ++this.opening;
    seen.connections++;
    keepStill();
    if (this.engine) stallBegins();
    this.connected = performance.now();
    overlay.follow();
    this.close();
    this.behind = false;
    const name = this.choice === 'auto' ? this.names.find(name => !this.ruledOut.has(name)) : this.choice;
    if (!name) {
      this.fail('unplayable', 'This browser can’t play the stream',
        `Any HLS player opens ${new URL('cam/live.m3u8', location.href).href}`);
      return;
    }
    try {
      if (name === 'hls.js' || name === 'dash.js') await library(name);
      if (opening !== this.opening) return;
      $('canvas').hidden = name !== 'webcodecs';
      video.hidden = name === 'webcodecs';
      this.engine = { 'hls.js': hlsEngine, 'dash.js': dashEngine, native: nativeEngine }[name]?.() ?? ownEngine(name, this.own);
    } catch (error) {
      complain(`${name}: ${error.message}`);
      this.cannot(error.message);
    }
    offer();
    note();
    show();
  },

  close() {
    this.engine?.close();
    this.engine = null;
    this.playlist = null;
    seen.mediaTime = null;
    seen.history = [];
  },

  // What engines report.

  fail(...trouble) { this.trouble = trouble; },
  /** The stream comes. */
  well() {
    this.retry = 0;
    this.trouble = null;
  },
  offline() {
    if (navigator.onLine === false) this.fail('offline', 'No network', 'The stream comes back as soon as the network does.');
    else this.fail('offline', 'Can’t reach the camera', 'Trying again…');
  },
  refused() { this.fail('refused', 'Watching needs permission', 'Ask for a new link, or sign in and reload the page.'); },
  /** This is no way to play the stream here. */
  cannot(why) {
    const name = this.engine?.name ?? this.names.find(name => !this.ruledOut.has(name));
    if (this.choice === 'auto' && name) {
      this.ruledOut.add(name);
      this.later(0);
      return;
    }
    this.fail('unplayable', 'This can’t play the stream', why);
  },
  /** A request failed for good, with this status; 0 without an answer. */
  answered(code) {
    if (code === 401 || code === 403) { this.refused(); this.later(10000); }
    else if (code === 404 || code === 503) { this.fail('waiting', 'Waiting for the camera…', 'The host runs, and there is no picture yet.'); this.later(); }
    else { this.offline(); this.later(); }
  },
  /** Connects anew after `ms`, or after a pause that grows with every attempt in vain. */
  later(ms = Math.min(5000, 250 * 2 ** this.retry++)) {
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.connect(), ms);
  },

  // What is seen.

  get picture() { return this.engine?.picture ?? video; },
  get size() { return this.engine?.size ?? null; },
  get time() { return seen.mediaTime ?? video.currentTime; },
  get rate() { return this.engine?.rate ?? 1; },
  capturedAt(time) { return this.engine?.capturedAt(time) ?? NaN; },
  get farBehind() { return this.engine?.distance != null && this.engine.distance > this.engine.target + 1; },

  toLive() { this.behind = false; this.engine?.toLive(); },
};

function pause() { player.userPaused = true; player.behind = true; player.engine?.pause(); show(); }
function resume() { player.userPaused = false; $('start').hidden = true; player.engine?.play(); show(); }
function backToLive() { player.userPaused = false; player.toLive(); show(); }

/** Fills the list of players. */
function offer() {
  const list = $('choice');
  list.replaceChildren(...['auto', ...player.names].map(name => {
    const used = player.choice === 'auto' && player.engine ? `: ${NAMES[player.engine.name]}` : '';
    const text = name === 'auto' ? `Automatic${used}` : NAMES[name];
    return new Option(text, name, false, name === player.choice);
  }));
}

function note() {
  const slow = player.engine?.name === 'native' && location.protocol !== 'https:';
  $('note').textContent = slow ? 'This browser plays a few seconds behind over plain HTTP. Over HTTPS with a certificate it trusts, the delay is a fraction of that.' : '';
  $('note').hidden = !slow;
}

// ------------------------------------------------------------------------------------------------------------------ words

/** [state, mood, what to say, more] of this moment; `more` null means that nothing lies over the picture. */
function describe() {
  const flowing = performance.now() - seen.lastFrame < 1500 || (!video.requestVideoFrameCallback && !video.paused && video.readyState > 2);
  if (player.trouble && !(flowing && player.trouble[0] === 'offline')) {
    const [state, text, more] = player.trouble;
    return [state, state === 'waiting' || state === 'ended' ? 'idle' : 'bad', text, more];
  }
  if (player.userPaused) return ['paused', 'idle', 'Paused', null];
  if (!$('start').hidden) return ['paused', 'idle', 'Tap to play', null];
  if (!seen.lastFrame && !(player.engine?.name === 'native' && video.readyState > 2)) return ['connecting', 'idle', 'Connecting…', ''];
  const lost = player.engine?.lostSince;
  if (lost) {
    const since = new Date(lost.getTime() - clock.offset);
    const today = since.toDateString() === new Date().toDateString();
    return ['lost', 'bad', `Camera lost since ${since.toLocaleString([], today ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' })}`, null];
  }
  if (!flowing && !document.hidden) return ['stalled', 'warn', 'Waiting for pictures…', ''];
  if (player.behind && player.farBehind) return ['behind', 'warn', `${Math.round(player.engine.distance)} s behind live`, null];
  return ['live', 'good', 'Live', null];
}

let shown = ['connecting', 'idle', 'Connecting…', ''];
function show() {
  shown = describe();
  const [state, mood, text, more] = shown;
  const set = (id, value) => { if ($(id).textContent !== value) $(id).textContent = value; };
  $('player').dataset.mood = mood;
  set('state', text);
  set('said', text);
  set('more', more ?? '');
  $('more').hidden = !more;
  $('veil').hidden = more === null;
  $('spin').hidden = ['ended', 'refused', 'unplayable'].includes(state);
  $('tolive').hidden = !(state === 'behind' || (state === 'paused' && player.userPaused));
  const paused = player.userPaused || !$('start').hidden;
  if ($('pause').getAttribute('aria-label') !== (paused ? 'Play' : 'Pause')) {
    $('pause').setAttribute('aria-label', paused ? 'Play' : 'Pause');
    $('pause').title = `${paused ? 'Play' : 'Pause'} (space)`;
    $('pause').querySelector('path').setAttribute('d', paused ? 'M8 5v14l11-7z' : 'M9 5v14M15 5v14');
  }

  const going = ['live', 'behind', 'lost', 'stalled'].includes(state);
  const vague = clock.known ? '' : ' ?';
  set('latency', going && seen.latency !== null ? seconds(Math.max(0, seen.latency)) + vague : '–');
  $('latency').title = clock.known
    ? `From capture to screen. The host’s clock is ${Math.round(Math.abs(clock.offset))} ms ${clock.offset < 0 ? 'behind' : 'ahead of'} this device’s, ±${Math.round(clock.error)} ms.`
    : 'From capture to screen, by this device’s clock: the host’s is unknown.';
  const size = player.size;
  set('size', size ? `${size[0]} × ${size[1]}` : '–');
  set('fps', going && seen.fps ? `${seen.fps.toFixed(seen.fps < 10 ? 1 : 0)} fps` : '–');
  set('buffer', size ? seconds(player.engine.buffer) : '–');
  set('dropped', seen.frames ? `${seen.dropped} of ${seen.frames}` : '–');
  set('stalls', seen.lastFrame ? seen.stalls ? `${seen.stalls}, ${seconds(seen.stalledSeconds + (seen.stallStart ? (performance.now() - seen.stallStart) / 1000 : 0))}` : 'none' : '–');
}

// ------------------------------------------------------------------------------------------------------- hands and events

$('pause').onclick = () => player.userPaused || !$('start').hidden ? resume() : pause();
$('start').onclick = resume;
$('tolive').onclick = backToLive;
$('info').onclick = () => {
  const open = $('figures').hidden;
  $('figures').hidden = !open;
  $('info').setAttribute('aria-expanded', open);
  document.documentElement.style.setProperty('--below', open ? '' : '6rem');
  try { localStorage.setItem('figures', open ? 'shown' : 'hidden'); } catch { /* Private windows forget; so be it. */ }
};
try { if (localStorage.getItem('figures') === 'hidden') $('info').click(); } catch { /* As above. */ }

const onItsSide = matchMedia('(max-height: 30rem) and (orientation: landscape) and (pointer: coarse)');
const isFull = () => !!(document.fullscreenElement ?? document.webkitFullscreenElement);
$('full').onclick = () => {
  const stage = $('player');
  if (isFull()) (document.exitFullscreen ?? document.webkitExitFullscreen).call(document);
  else if (stage.requestFullscreen) stage.requestFullscreen().catch(error => complain(`full screen: ${error.message}`));
  else if (stage.webkitRequestFullscreen) stage.webkitRequestFullscreen();
  else video.webkitEnterFullscreen?.(); // iPhones have it for the video alone.
};
function layout() {
  $('player').classList.toggle('wide', isFull() || onItsSide.matches);
  $('full').setAttribute('aria-label', isFull() ? 'Leave full screen' : 'Full screen');
  stir();
}
let quietTimer;
/** Shows the bar over a full-screen picture, and lets it go again after three quiet seconds. */
function stir() {
  $('player').classList.remove('quiet');
  clearTimeout(quietTimer);
  quietTimer = setTimeout(() => { if (!player.userPaused) $('player').classList.add('quiet'); }, 3000);
}
for (const name of ['fullscreenchange', 'webkitfullscreenchange']) document.addEventListener(name, layout);
onItsSide.addEventListener('change', layout);
for (const name of ['pointermove', 'keydown', 'focusin']) document.addEventListener(name, stir);
layout();
new ResizeObserver(() => overlay.show()).observe($('stage'));

let tapped = 0;
$('stage').addEventListener('click', event => {
  if (event.target.closest('button')) return;
  // On a touch screen the first tap brings the bar; a mouse pauses. Two in a row are full screen.
  const now = performance.now();
  if (now - tapped < 350) { tapped = 0; $('full').click(); if (event.pointerType !== 'touch') $('pause').click(); return; }
  tapped = now;
  if (event.pointerType === 'touch') stir(); else $('pause').click();
});
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = { ' ': 'pause', k: 'pause', f: 'full', i: 'info', l: 'tolive', End: 'tolive' }[event.key];
  if (!act || (event.key === ' ' && event.target.closest?.('button'))) return;
  event.preventDefault();
  if (act === 'tolive') backToLive(); else $(act).click();
});

for (const [element, names] of [[video, ['resize', 'loadedmetadata']], [$('canvas'), ['resize']]])
  for (const name of names) element.addEventListener(name, () => {
    const [width, height] = element === video ? [video.videoWidth, video.videoHeight] : [element.width, element.height];
    if (width && element === player.picture) document.documentElement.style.setProperty('--ratio', `${width} / ${height}`);
  });
video.addEventListener('waiting', stallBegins);
video.addEventListener('playing', stallEnds);
video.addEventListener('timeupdate', () => { if (seen.stallStart && !video.seeking && video.readyState > 2) stallEnds(); });
video.addEventListener('canplay', () => { if (player.picture === video) playVideo(); });
$('choice').onchange = () => {
  try { localStorage.setItem('player', $('choice').value); } catch { /* As above. */ }
  player.choose($('choice').value);
};
// The browser may pause a hidden page; what comes back into view is live.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  if (player.retryTimer) player.later(0);
  else if (!player.userPaused) { if (player.farBehind) player.toLive(); else player.engine?.play(); }
});
addEventListener('online', () => { if (player.retryTimer || player.trouble) player.later(0); });
addEventListener('offline', () => { player.offline(); show(); });
addEventListener('pageshow', event => { if (event.persisted) player.later(0); });

setInterval(() => { count(); if (!video.requestVideoFrameCallback) { seen.lastFrame = video.readyState > 2 ? performance.now() : seen.lastFrame; measureLatency(); overlay.show(); } player.engine?.tend(); show(); }, 250);
// A vague clock is made sharp once the picture is there, and again when it has gone stale.
setInterval(() => { if (seen.lastFrame && !player.trouble && !(clock.error < 25)) clock.hunt(); }, 5000);
setInterval(() => { if (seen.lastFrame && !player.trouble && !document.hidden && player.engine?.exact) presentation.ask(); }, 60000);

window.picam = Object.freeze({
  get state() { return shown[0]; },
  get text() { return shown[2]; },
  get engine() { return player.engine?.name ?? 'none'; },
  get picture() { return player.picture; },
  get latency() { return seen.latency; },
  get clock() { return clock.known ? { offset: clock.offset, error: clock.error } : null; },
  get size() { return player.size; },
  get fps() { return seen.fps; },
  get buffer() { return player.engine?.buffer ?? 0; },
  get frames() { return seen.frames; },
  get dropped() { return seen.dropped; },
  get stalls() { return seen.stalls; },
  get stalledSeconds() { return seen.stalledSeconds; },
  get rate() { return player.rate; },
  get playlist() { return player.playlist; },
  get connections() { return seen.connections; },
  get drawn() { return overlay.version === null ? null : structuredClone(overlay.drawn ?? []); },
  get errors() { return [...seen.errors]; },
});

player.start();
