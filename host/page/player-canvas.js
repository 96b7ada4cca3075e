import { Unplayable } from './player-boxes.js';

/** Pictures that may wait for the decoder. */
const QUEUE = 3;
/** Milliseconds for which more may wait: after the page or the network stood still, several come at once, and are soon done. */
const PATIENCE = 250;

/** Decodes pictures and draws each as it comes. */
export class Drawn {
  #player; #decoder = null; #config; #context; #next = null; #asked = 0; #wantsKey = true; #behind = false;
  #waiting = 0; #last = -Infinity; #keptUp = 0;
  size = null; rate = 1;

  constructor(player) {
    this.#player = player;
    this.element = player.given.canvas ?? document.createElement('canvas');
    this.#context = this.element.getContext('2d', { alpha: false });
  }

  /** Pictures in the decoder, in seconds. */
  get buffer() { return this.#waiting; }

  async init({ codec, description }) {
    this.#config = { codec, description, optimizeForLatency: true };
    const { supported } = await VideoDecoder.isConfigSupported(this.#config);
    if (!supported) throw new Unplayable(`WebCodecs can’t decode ${codec} here`);
    this.#renew();
    // What comes first is what was there already.
    this.#behind = true;
  }

  #renew() {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = new VideoDecoder({ output: frame => this.#output(frame), error: error => this.#player.failed(error) });
    this.#decoder.configure(this.#config);
    this.#wantsKey = true;
  }

  chunk({ key, time, duration, sample }) {
    if (this.#decoder?.state !== 'configured') return;
    const queue = this.#decoder.decodeQueueSize;
    if (key && queue > QUEUE) {
      // Whatever is still queued is older than this, and nothing after it needs it.
      this.#player.drop(queue);
      this.#renew();
    } else if (this.#behind) {
      this.#behind = this.#wantsKey || queue > 0;
    } else if (queue <= QUEUE) {
      this.#keptUp = performance.now();
    } else if (performance.now() - this.#keptUp > PATIENCE) {
      this.#wantsKey = true;
    }
    if (!key && this.#wantsKey) { this.#player.drop(1); return; }
    this.#wantsKey = false;
    this.#waiting = (this.#decoder.decodeQueueSize + 1) * duration;
    this.#decoder.decode(new EncodedVideoChunk({
      type: key ? 'key' : 'delta', timestamp: Math.round(time * 1e6), duration: Math.round(duration * 1e6), data: sample,
    }));
  }

  #output(frame) {
    this.#waiting = this.#decoder.decodeQueueSize * (frame.duration ?? 0) / 1e6;
    // After a lost connection, the stream begins a little before what was seen last. A host that was started anew counts anew.
    if (frame.timestamp <= this.#last && frame.timestamp > this.#last - 1e7) { frame.close(); return; }
    this.#last = frame.timestamp;
    if (this.#next) { this.#next.close(); this.#player.drop(1); }
    this.#next = frame;
    this.#asked ||= requestAnimationFrame(now => this.#draw(now));
  }

  #draw(now) {
    this.#asked = 0;
    const frame = this.#next;
    if (!frame) return;
    this.#next = null;
    const { displayWidth: width, displayHeight: height, timestamp } = frame;
    if (this.element.width !== width || this.element.height !== height) {
      this.element.width = width;
      this.element.height = height;
      this.size = [width, height];
      this.element.dispatchEvent(new Event('resize'));
    }
    this.#context.drawImage(frame, 0, 0, width, height);
    frame.close();
    // What is drawn now is on the screen with the next refresh.
    const shown = { time: timestamp / 1e6, width, height, expectedDisplayTime: now + 1000 / 60 };
    this.element.dispatchEvent(new CustomEvent('frame', { detail: shown }));
    this.#player.shown(shown);
  }

  tend() {}

  pause() { this.#wantsKey = true; }

  close() {
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    cancelAnimationFrame(this.#asked);
    this.#next?.close();
    this.#next = null;
  }
}
