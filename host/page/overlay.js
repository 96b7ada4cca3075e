'use strict';

/* Plugins draw on pictures by their dates and times; `cam/overlay` tells of it, in layers, and waits for news. A drawing holds until
   the next one in its layer, so what belongs to the picture in view is the last one that isn't dated after it. */
const overlay = {
  layers: [], version: null, following: false,
  images: new Map(),    // by name: ImageBitmap, or null while it is on its way
  key: '', drawn: null,

  /** Keeps up with what is drawn, until the host says that nobody draws. */
  async follow() {
    if (this.following) return;
    this.following = true;
    try {
      for (;;) {
        const asked = performance.now();
        const pause = await this.ask().catch(() => 2000);
        if (pause === null) break;
        await wait(Math.max(0, pause - (performance.now() - asked)));
      }
    } finally { this.following = false; }
  },

  /** Asks for news; how long to wait before the next time, in ms since this one, or null if there will be none. */
  async ask() {
    if (document.hidden) return 1000;
    const answer = await fetch('cam/overlay' + (this.version === null ? '' : `?after=${this.version}`));
    if (answer.status === 204) { this.layers = []; this.version = null; this.show(); return null; }
    // The player says what is the matter.
    if (!answer.ok) return 2000;
    const news = await answer.json();
    // Another run of the host counts its versions anew.
    if (this.version === null || news.layers.length !== this.layers.length) this.layers = news.layers.map(() => []);
    this.version = news.version;
    news.layers.forEach((drawings, n) => {
      const layer = this.layers[n];
      layer.push(...drawings);
      // Who paused for longer than this sees the oldest.
      const old = layer.findIndex(drawing => drawing.date > (layer.at(-1)?.date ?? 0) - 180000);
      if (old > 1) layer.splice(0, old - 1);
    });
    this.show();
    // News may be gathered for as long as it is still in time for its picture, or nearly so.
    return Math.min(100, (seen.latency ?? 0) * 300);
  },

  /** Draws what belongs to the picture in view, if that isn't there already. */
  show() {
    const canvas = $('drawn');
    const picture = player.picture, size = player.size;
    if (!this.layers.length || !size) { canvas.hidden = true; this.drawn = null; this.key = ''; return; }
    const holds = this.layers.map(layer => this.holding(layer));

    // As many pixels as the screen shows of the picture; fitted by the style as the picture is.
    const scale = Math.min(picture.clientWidth / size[0], picture.clientHeight / size[1]) * (devicePixelRatio || 1);
    const factor = Math.min(scale, 4096 / Math.max(...size));
    const [width, height] = size.map(pixels => Math.max(1, Math.round(pixels * factor)));
    const loaded = [...this.images.values()].filter(Boolean).length;
    const key = [width, height, loaded, ...holds.map(drawing => drawing?.time ?? '')].join();
    if (key === this.key) return;
    this.key = key;
    this.drawn = holds.flatMap(drawing => drawing?.operations ?? []);
    canvas.width = width;
    canvas.height = height;
    canvas.hidden = !this.drawn.length;
    const context = canvas.getContext('2d');
    for (const operation of this.drawn) {
      const [[kind, what]] = Object.entries(operation);
      context.save();
      this[kind]?.(context, what, x => x * width / 1000, y => y * height / 1000);
      context.restore();
    }
    const names = new Set(this.layers.flat().flatMap(drawing => drawing.operations).map(operation => operation.image?.png));
    for (const name of this.images.keys()) if (!names.has(name)) this.images.delete(name);
  },

  /** The drawing of a layer that belongs to the picture in view. */
  holding(layer) {
    // Our own player knows the very time of the picture, others the date that a playlist gives it, to the millisecond.
    if (player.engine?.exact) return layer.findLast(drawing => drawing.time <= player.time * 1e6 + 500);
    const date = player.capturedAt(player.time);
    // Without a date what is newest is nearest.
    return Number.isNaN(date) ? layer.at(-1) : layer.findLast(drawing => drawing.date <= date + 5);
  },

  /** Where the top left corner of a box lies whose `anchor` is at a point. */
  corner(at, anchor, width, height) {
    const left = /left$/.test(anchor) ? 0 : /right$/.test(anchor) ? 1 : .5;
    const top = /^top/.test(anchor) ? 0 : /^bottom/.test(anchor) ? 1 : .5;
    return [at[0] - left * width, at[1] - top * height];
  },

  text(context, { at, anchor, content, size, colour, background, outline, font }, x, y) {
    const line = y(size);
    context.font = `${line / 1.2}px ${font ? `"${font}", ` : ''}system-ui, sans-serif`;
    context.textBaseline = 'alphabetic';
    const margin = background ? line * .25 : 0;
    const width = context.measureText(content).width + 2 * margin;
    const [left, top] = this.corner([x(at[0]), y(at[1])], anchor, width, line);
    if (background) { context.fillStyle = background; context.fillRect(left, top, width, line); }
    const base = [left + margin, top + line * .78];
    if (outline) {
      context.strokeStyle = outline;
      context.lineWidth = line * .12;
      context.lineJoin = 'round';
      context.strokeText(content, ...base);
    }
    context.fillStyle = colour;
    context.fillText(content, ...base);
  },

  rectangle(context, { from, to, fill, stroke, width }, x, y) {
    const box = [x(from[0]), y(from[1]), x(to[0] - from[0]), y(to[1] - from[1])];
    if (fill) { context.fillStyle = fill; context.fillRect(...box); }
    if (stroke) { context.strokeStyle = stroke; context.lineWidth = y(width); context.strokeRect(...box); }
  },

  line(context, { from, to, colour, width }, x, y) {
    context.strokeStyle = colour;
    context.lineWidth = y(width);
    context.beginPath();
    context.moveTo(x(from[0]), y(from[1]));
    context.lineTo(x(to[0]), y(to[1]));
    context.stroke();
  },

  image(context, { at, anchor, size, png }, x, y) {
    const image = this.images.get(png);
    if (image === undefined) this.load(png);
    if (!image) return;
    const height = y(size), width = height * image.width / image.height;
    context.drawImage(image, ...this.corner([x(at[0]), y(at[1])], anchor, width, height), width, height);
  },

  async load(png) {
    this.images.set(png, null);
    try {
      const answer = await fetch(`cam/overlay/${png}`);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      this.images.set(png, await createImageBitmap(await answer.blob()));
      this.show();
    } catch (error) { complain(`an image to be drawn over the picture: ${error.message}`); }
  },
};
