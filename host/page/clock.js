'use strict';

/* How far the host's clock is ahead of this device's, from the Date header, whose value the host's clock had passed by
   less than a second when the answer left. Each answer therefore bounds the offset on both sides; together they bound it
   well, and best those that left just before or after the second changed, which `hunt` aims for. */
const clock = {
  low: -Infinity, high: Infinity, at: 0, hunting: false,

  /** `asked` and `answered` by this device's clock in ms since 1970. */
  learn(asked, answered, headers) {
    const date = Date.parse(headers('Date') ?? '');
    if (Number.isNaN(date) || Number(headers('Age') ?? 0) > 0) return;
    const low = date - answered, high = date + 1000 - asked;
    // Quartz drifts by up to 100 ppm, so knowledge goes stale by as much.
    const stale = this.at ? (answered - this.at) * 1e-4 : 0;
    this.at = answered;
    this.low = Math.max(this.low - stale, low);
    this.high = Math.min(this.high + stale, high);
    // Either clock was set: only the new answer counts.
    if (this.low > this.high) { this.low = low; this.high = high; }
  },
  get known() { return Number.isFinite(this.low); },
  get offset() { return this.known ? (this.low + this.high) / 2 : 0; },
  get error() { return (this.high - this.low) / 2; },
  now() { return Date.now() + this.offset; },

  async hunt() {
    if (this.hunting || document.hidden) return;
    this.hunting = true;
    try {
      for (let tries = 0, trip = 0; tries < 12 && !(this.error < 15); tries++) {
        await wait(this.known ? 1000 - (this.now() + trip / 2) % 1000 : 0);
        const asked = Date.now();
        const answer = await fetch('healthz', { method: 'HEAD', cache: 'no-store' });
        trip = Date.now() - asked;
        this.learn(asked, asked + trip, name => answer.headers.get(name));
        if (!this.known) return;
      }
    } catch { /* Without an answer the offset stays as vague as it is; playback reports what the network does. */ }
    finally { this.hunting = false; }
  },
};

/* The clock of the presentation, as `cam/time` tells it: what our own player and dash.js date pictures by. It is the host's,
   unless that was set since the stream began. */
const presentation = {
  offset: null, error: Infinity, asking: false,

  now() { return this.offset === null ? clock.now() : Date.now() + this.offset; },

  /** Asks a few times; the quickest answer is the one that counts. */
  async ask() {
    if (this.asking) return;
    this.asking = true;
    this.error = Infinity;
    try {
      for (let tries = 0; tries < 4 && !(this.error < 2); tries++) {
        const asked = Date.now();
        const answer = await fetch('cam/time', { cache: 'no-store' });
        const time = Date.parse(await answer.text()), trip = Date.now() - asked;
        if (!answer.ok || Number.isNaN(time)) break;
        if (trip / 2 < this.error) { this.error = trip / 2; this.offset = time - asked - trip / 2; }
        await wait(200);
      }
    } catch { /* Playback reports what the network does. */ }
    finally { this.asking = false; }
  },
};
