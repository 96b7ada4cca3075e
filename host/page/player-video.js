import { Unplayable, joined } from './player-boxes.js';

/** iPhones have the managed one alone. */
export const MediaSourceClass = globalThis.MediaSource ?? globalThis.ManagedMediaSource;
/** Seconds of lead over the newest picture that MSE needs to play without a stall, at the least of half a second. */
const LEAD = 0.07;
/** Seconds more to begin with: a decoder that has to start is late for a moment, and what is too much is soon made up for. */
const START = 0.06;
/** Longer behind than this is no matter of speed any more. */
const FAR = 1;
/** Milliseconds without playing, though pictures come, after which it is begun anew: nothing else helped. */
const FROZEN = 4000;

/** Appends chunks to a source buffer, and keeps the playhead a little behind the newest. */
export class Buffered {
  #player; #video; #source = null; #buffer = null; #type = ''; #queue = []; #listeners = new AbortController();
  /** The run of pictures that join up, of which the newest was appended last: where it begins, and where it ends. */
  #begin = 0; #end = 0;
  /** Where the newest picture ends that is on its way to the buffer, and whether it begins a run. */
  #coming = null;
  #leads = []; #more = 0; #dry = -Infinity; #moved = 0; #last = -1; #joined = false; #jumped = 0;

  constructor(player) {
    this.#player = player;
    this.element = this.#video = player.given.video ?? document.createElement('video');
    Object.assign(this.#video, { muted: true, autoplay: true, playsInline: true, disableRemotePlayback: true });
    const on = (name, act) => this.#video.addEventListener(name, act, { signal: this.#listeners.signal });
    on('error', () => this.#player.failed(this.#video.error ?? 'the video element failed'));
    on('waiting', () => this.#ranDry());
    this.#watch();
  }

  get size() { return this.#video.videoWidth ? [this.#video.videoWidth, this.#video.videoHeight] : null; }
  get buffer() { return Math.max(0, this.#end - this.#video.currentTime); }
  get rate() { return this.#video.playbackRate; }

  #watch() {
    if (!this.#video.requestVideoFrameCallback) {
      this.#video.addEventListener('timeupdate', () => this.#shown(this.#video.currentTime, 0), { signal: this.#listeners.signal });
      return;
    }
    const onFrame = (now, frame) => {
      if (this.#listeners.signal.aborted) return;
      this.#shown(frame.mediaTime, frame.expectedDisplayTime);
      this.#video.requestVideoFrameCallback(onFrame);
    };
    this.#video.requestVideoFrameCallback(onFrame);
  }

  #shown(time, due) {
    const { videoWidth, videoHeight } = this.#video;
    this.#player.shown({ time, width: videoWidth, height: videoHeight, expectedDisplayTime: due || performance.now() });
  }

  async init({ bytes, codec }) {
    const type = `video/mp4; codecs="${codec}"`;
    if (!MediaSourceClass.isTypeSupported(type)) throw new Unplayable(`Media Source Extensions can’t play ${codec} here`);
    if (!this.#source) await this.#open(type);
    this.#queue.push({ type, bytes });
    this.#coming = null;
    this.#pump();
  }

  async #open(type) {
    const source = this.#source = new MediaSourceClass();
    const address = URL.createObjectURL(source);
    await new Promise((opened, failed) => {
      source.addEventListener('sourceopen', opened, { once: true });
      this.#video.addEventListener('error', () => failed(new Unplayable('the video element failed')), { once: true });
      this.#video.src = address;
    });
    URL.revokeObjectURL(address);
    const buffer = this.#buffer = source.addSourceBuffer(type);
    this.#type = type;
    buffer.addEventListener('updateend', () => { this.#appended(); this.#pump(); });
    source.addEventListener('sourceclose', () => { if (this.#source === source) this.#player.failed('the source was closed'); });
  }

  chunk({ bytes, time, duration }) {
    // Decoding times join up to the microsecond; rounding is less than this.
    const joins = this.#coming !== null && Math.abs(time - this.#coming) < .002;
    this.#coming = time + duration;
    this.#queue.push({ bytes, begin: joins ? null : time, end: this.#coming });
    this.#pump();
  }

  /** Gives the buffer all that joins up, in one piece: it takes nothing else while it is busy. */
  #pump() {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#source.readyState !== 'open') return;
    try {
      const [first] = this.#queue;
      const start = buffer.buffered.length ? buffer.buffered.start(0) : 0;
      if (!first) {
        // What was seen is of no use, but for the key picture that the decoder needs when it seeks.
        if (this.#video.currentTime - start > 15) buffer.remove(0, this.#video.currentTime - 5);
      } else if (first.type) {
        if (first.type !== this.#type) buffer.changeType(this.#type = first.type);
        this.#queue.shift();
        buffer.appendBuffer(first.bytes);
      } else if (first.begin !== null && first.begin < this.#end - .002 && buffer.buffered.length) {
        // The host was started anew, and time with it: what is there is of another stream.
        this.#end = 0;
        buffer.remove(0, Infinity);
      } else {
        let count = 1;
        while (count < this.#queue.length && !this.#queue[count].type && this.#queue[count].begin === null) count++;
        this.#batch = this.#queue.slice(0, count);
        buffer.appendBuffer(joined(this.#batch.map(({ bytes }) => bytes)));
        this.#queue.splice(0, count);
      }
    } catch (error) {
      if (error.name === 'QuotaExceededError' && this.#video.currentTime - 1 > 0 && !this.#full) {
        this.#full = true;
        buffer.remove(0, this.#video.currentTime - 1);
      } else this.#player.failed(error);
    }
  }
  #batch = null; #full = false;

  #appended() {
    const batch = this.#batch;
    this.#batch = null;
    if (!batch) return;
    this.#full = false;
    if (batch[0].begin !== null) {
      this.#begin = batch[0].begin;
      this.#joined = false;
    }
    // The lead is least just before there is more.
    if (this.#joined) this.#leads.push([performance.now(), this.#end - this.#video.currentTime]);
    this.#end = batch.at(-1).end;
    this.tend();
  }

  /** After each append, and ten times a second: keeps the lead, and sees to it that pictures move. */
  tend() {
    const video = this.#video, now = performance.now();
    const lead = this.#end - video.currentTime, aim = LEAD + this.#more;
    if (video.currentTime !== this.#last) { this.#last = video.currentTime; this.#moved = now; }
    // There is nothing to play, or the browser doesn't want to.
    if (!this.#end || video.paused || Math.abs(lead) < aim) this.#moved = now;
    if (now - this.#moved > FROZEN) { this.#player.failed('pictures come, and none is played'); return; }
    const stuck = now - Math.max(this.#moved, this.#jumped) > 1000;
    // A seek to where nothing is lasts for ever.
    if (!this.#end || video.seeking && !stuck) return;
    if (!this.#joined) {
      // A gap, or the beginning: what is left of the run before is played first, if it is a moment.
      const left = video.buffered.length && this.#begin - video.currentTime;
      if (!(left > 0 && left < aim && this.#ahead() > .02)) this.#jump(aim);
      return;
    }
    if (video.paused) { this.play(); return; }
    if (lead > FAR || lead < -.5 || stuck) { this.#jump(aim); return; }
    this.#leads.push([now, lead]);
    while (this.#leads[0][0] < now - 500) this.#leads.shift();
    const least = Math.min(...this.#leads.map(([, value]) => value));
    // A minute after it last ran dry, it ventures closer again.
    if (now - this.#dry > 60000) this.#more = Math.max(0, this.#more - .0005);
    const off = least - aim;
    const rate = Math.abs(off) < .012 ? 1 : Math.max(.95, Math.min(1.1, 1 + off));
    if (Math.abs(rate - video.playbackRate) > .004) video.playbackRate = rate;
  }

  /** Seconds that are left to play where the playhead is. */
  #ahead() {
    const { buffered, currentTime } = this.#video;
    for (let i = 0; i < buffered.length; i++)
      if (buffered.start(i) <= currentTime && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
    return 0;
  }

  #jump(aim) {
    const to = Math.max(this.#begin, this.#end - aim - START);
    this.#joined = true;
    this.#jumped = performance.now();
    this.#leads = [];
    this.#video.playbackRate = 1;
    if (Math.abs(to - this.#video.currentTime) > .01) this.#video.currentTime = to;
    // To jump isn't to play.
    this.#last = this.#video.currentTime;
    this.play();
  }

  #ranDry() {
    const now = performance.now();
    // A beginning and a seek are no reason for more distance.
    if (!this.#joined || this.#video.seeking || now - this.#jumped < 1500 || now - this.#dry < 500) return;
    this.#dry = now;
    this.#more = Math.min(.3, this.#more + .03);
  }

  async play() {
    try { await this.#video.play(); }
    catch (error) { if (error.name === 'NotAllowedError') this.#player.blocked(); }
  }

  pause() {
    this.#video.pause();
    this.#queue = [];
    this.#coming = null;
  }

  close() {
    this.#listeners.abort();
    this.#source = this.#buffer = null;
    this.#video.removeAttribute('src');
    this.#video.load();
  }
}
