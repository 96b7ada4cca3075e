/**
 * picam-host's own player: `cam/live.mp4` with the least delay that a browser can have. One module without dependencies,
 * which plays in any page:
 *
 *     import { Player } from 'http://pi.local:8080/player.js';
 *     new Player(document.getElementById('camera')).play();
 *
 * Where the page is secure (https, or this machine), pictures are decoded by WebCodecs and drawn on a canvas as they come.
 * Elsewhere they go through Media Source Extensions into a video element, which plays a tenth of a second behind the newest
 * picture by playing a little faster or slower. There is no sound, and no going back: to pause is to leave, and to play
 * again is to be at the newest picture.
 *
 * `new Player(place, { url, mode, canvas, video, credentials })`:
 *   place        an element, in which a canvas or a video is put that fills it; null where `canvas` and `video` are given
 *   url          of the stream; `cam/live.mp4` beside this module unless given
 *   mode         'webcodecs', 'mse', or 'auto' (the default)
 *   canvas, video   elements to play in, instead of new ones
 *   credentials  as `fetch` has it, for a stream that asks for cookies
 *
 *   play(), pause()   connect and leave
 *   state       'paused' | 'connecting' | 'playing' | 'waiting' (no picture yet) | 'offline' | 'refused' (401, 403)
 *               | 'ended' | 'unplayable' | 'blocked' (the browser wants a tap first: then call `play()`)
 *   mode        what it plays with: 'webcodecs' | 'mse' | null (neither can be had)
 *   element     the canvas or the video
 *   size        [width, height] of the picture, or null
 *   buffer      seconds of pictures that came and have not been shown
 *   rate        playback rate
 *   frames, dropped   pictures that came; of those, never shown
 *   lostSince   Date since which the camera is lost, while the picture is a stand-in for it; else null
 *   capturedAt(time)  when the picture at this time of the stream was captured, in ms since 1970 by the host's clock
 *
 * It is an EventTarget: 'state' after each change of state; 'frame' for each picture on the screen, with `detail` { time
 * (seconds of the stream), captured, width, height, expectedDisplayTime }; 'complaint' with `detail` (text), for curious people.
 *
 * The stream is described in host/src/http/endless.rs: `ftyp`, `moof`, then chunks of one picture (`prft`, `moof`, `mdat`),
 * with `emsg` where something is missing. It ends where another `moov` is needed; then the player asks again.
 */

import { Boxes, Unplayable } from './player-boxes.js';
import { Drawn } from './player-canvas.js';
import { Buffered, MediaSourceClass } from './player-video.js';

/** Milliseconds without a byte after which a connection is taken for dead: a camera that is silent for two seconds gets a
    stand-in. */
const SILENCE = 6000;
/** Milliseconds after which a page that nobody sees leaves. */
const HIDDEN = 5000;

const wait = ms => new Promise(done => setTimeout(done, ms));

/** Ways to play that this browser has, best first. */
export const modes = () => [
  ...(globalThis.isSecureContext && globalThis.VideoDecoder ? ['webcodecs'] : []),
  ...(MediaSourceClass ? ['mse'] : []),
];

export class Player extends EventTarget {
  #url; #credentials; #place; #given; #wanted; #sink = null; #modes;
  #running = null; #away = null; #state = 'paused'; #tries = 0; #faults = [];
  /** Times of key pictures, with when they were captured: [[seconds, ms], …]. The host dates all others by these. */
  #dates = [];
  frames = 0; dropped = 0; lostSince = null;

  constructor(place, { url = new URL('cam/live.mp4', import.meta.url), mode = 'auto', canvas, video, credentials = 'same-origin' } = {}) {
    super();
    this.#place = place;
    this.#given = { canvas, video };
    this.#url = String(url);
    this.#credentials = credentials;
    this.#modes = modes().filter(known => mode === 'auto' || known === mode);
    document.addEventListener('visibilitychange', this.#onVisibility);
    addEventListener('online', this.#onOnline);
  }

  get state() { return this.#state; }
  get mode() { return this.#modes[0] ?? null; }
  get element() { return this.#sink?.element ?? null; }
  get size() { return this.#sink?.size ?? null; }
  get buffer() { return this.#sink?.buffer ?? 0; }
  get rate() { return this.#sink?.rate ?? 1; }

  capturedAt(time) {
    const date = this.#dates.findLast(([key]) => key <= time + .001) ?? this.#dates[0];
    return date ? date[1] + (time - date[0]) * 1000 : NaN;
  }

  play() {
    this.#wanted = true;
    this.#sink?.play?.();
    if (!this.#running) this.#start();
  }

  pause() {
    this.#wanted = false;
    this.#stop();
    this.#sink?.pause();
    this.#tell('paused');
  }

  /** Leaves for good, and takes its element away if it made it. */
  destroy() {
    this.pause();
    document.removeEventListener('visibilitychange', this.#onVisibility);
    removeEventListener('online', this.#onOnline);
    clearTimeout(this.#away);
    this.#close();
  }

  #onVisibility = () => {
    clearTimeout(this.#away);
    // Picture in picture is seen.
    if (document.hidden) this.#away = setTimeout(() => { if (document.hidden && !document.pictureInPictureElement) this.#stop(); }, HIDDEN);
    else if (this.#wanted && !this.#running) this.#start();
    else this.#sink?.tend();
  };

  #onOnline = () => { if (this.#wanted && this.#state !== 'playing') { this.#stop(); this.#start(); } };

  #start() {
    this.#running = new AbortController();
    this.#run(this.#running);
  }

  #stop() {
    this.#running?.abort();
    this.#running = null;
  }

  #close() {
    const element = this.#sink?.element;
    this.#sink?.close();
    this.#sink = null;
    if (element && this.#place) element.remove();
  }

  #tell(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new Event('state'));
  }

  #complain(text) { this.dispatchEvent(new CustomEvent('complaint', { detail: text })); }

  /** Connects, again and again, until this run is over. */
  async #run(run) {
    while (!run.signal.aborted) {
      if (!this.mode) { this.#tell('unplayable'); return; }
      let pause = 0;
      try {
        this.#tell(this.#state === 'playing' ? 'playing' : 'connecting');
        pause = await this.#connect(run);
      } catch (error) {
        if (run.signal.aborted) return;
        this.#complain(String(error?.message ?? error));
        if (error instanceof Unplayable) pause = this.#fault();
        else { this.#tell('offline'); pause = this.#backOff(); }
      }
      if (pause && !run.signal.aborted) await Promise.race([wait(pause), new Promise(done => run.signal.addEventListener('abort', done, { once: true }))]);
    }
  }

  #backOff() { return Math.min(5000, 250 * 2 ** this.#tries++); }

  /** The decoder failed. A fresh one mostly helps; if it doesn't, there may be another way to play. */
  #fault() {
    const now = performance.now();
    this.#close();
    this.#faults = [...this.#faults.filter(at => now - at < 10000), now];
    if (this.#faults.length < 3) return 200;
    this.#faults = [];
    if (this.#modes.length > 1) { this.#modes.shift(); return 1; }
    this.#tell('unplayable');
    return 30000;
  }

  /** One response to its end. The answer is how long to wait before the next, in ms. */
  async #connect(run) {
    const connection = new AbortController();
    const abort = () => connection.abort();
    run.signal.addEventListener('abort', abort);
    let heard = performance.now();
    const watchdog = setInterval(() => {
      this.#sink?.tend();
      if (performance.now() - heard > (document.hidden ? 3 : 1) * SILENCE + (reading ? 0 : 4000)) abort();
    }, 100);
    let reading = null;
    const before = this.frames;
    try {
      const response = await fetch(this.#url, { cache: 'no-store', credentials: this.#credentials, signal: connection.signal });
      if (!response.ok) {
        const [state, pause] = { 401: ['refused', 10000], 403: ['refused', 10000], 404: ['ended', 3000] }[response.status]
          ?? ['waiting', this.#backOff()];
        this.#tell(state);
        await response.body?.cancel();
        return pause;
      }
      reading = response.body.getReader();
      const boxes = new Boxes();
      for (;;) {
        const { done, value } = await reading.read();
        heard = performance.now();
        // Another stream begins where this one ends, but one that ends before it began is no stream.
        if (done) return this.frames > before ? 1 : this.#backOff();
        for (const found of boxes.read(value)) {
          if (found.chunk) this.#chunk(found.chunk);
          else await this.#init(found.init);
        }
      }
    } finally {
      run.signal.removeEventListener('abort', abort);
      clearInterval(watchdog);
      connection.abort();
    }
  }

  async #init(init) {
    this.lostSince = null;
    this.#dates = [];
    this.#sink ??= this.mode === 'webcodecs' ? new Drawn(this.#host()) : new Buffered(this.#host());
    if (this.#place && this.#sink.element.parentNode !== this.#place) {
      this.#sink.element.style.cssText = 'width: 100%; height: 100%; object-fit: contain; display: block';
      this.#place.append(this.#sink.element);
    }
    await this.#sink.init(init);
  }

  #chunk(chunk) {
    this.frames++;
    for (const event of chunk.events)
      if (event.scheme === 'urn:picam-host:camera-lost:2026') this.lostSince = new Date(Number(event.value));
    if (chunk.key) {
      this.#dates.push([chunk.time, chunk.captured]);
      if (this.#dates.length > 20) this.#dates.shift();
    }
    this.#sink.chunk(chunk);
  }

  /** What a sink may do here. */
  #host() {
    return {
      given: this.#given,
      drop: count => { this.dropped += count; },
      complain: text => this.#complain(text),
      shown: picture => {
        this.#tries = 0;
        this.#tell('playing');
        this.dispatchEvent(new CustomEvent('frame', { detail: { ...picture, captured: this.capturedAt(picture.time) } }));
      },
      blocked: () => this.#tell('blocked'),
      failed: error => {
        this.#complain(`${this.mode}: ${error?.message ?? error}`);
        if (!this.#running) { this.#close(); return; }
        this.#stop();
        const run = this.#running = new AbortController();
        wait(this.#fault()).then(() => { if (!run.signal.aborted) this.#run(run); });
      },
    };
  }
}
