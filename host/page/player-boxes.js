/** This stream, or this browser, won't do. */
export class Unplayable extends Error {}

/** These arrays in one. */
export function joined(arrays) {
  if (arrays.length === 1) return arrays[0];
  const all = new Uint8Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) { all.set(array, at); at += array.length; }
  return all;
}

/** Cuts the stream into init segments and chunks (ISO/IEC 14496-12; 23000-19 for chunks). */
export class Boxes {
  #rest = new Uint8Array(0);
  #timescale = 1;

  /**
   * What has come whole with these bytes:
   *   { init: { bytes, codec, description (avcC) } }
   *   { chunk: { bytes, sample, key, time, duration (seconds), captured (ms since 1970), events: [{ scheme, value }] } }
   */
  *read(bytes) {
    const all = this.#rest = this.#rest.length ? joined([this.#rest, bytes]) : bytes;
    let start = 0;
    for (const { type, from, to } of boxes(all)) {
      if (type !== 'moov' && type !== 'mdat') continue;
      const whole = all.subarray(start, to);
      start = to;
      this.#rest = all.subarray(start);
      yield type === 'moov' ? { init: this.#init(whole) } : { chunk: this.#chunk(whole, from - whole.byteOffset + all.byteOffset) };
    }
  }

  #init(bytes) {
    const mdhd = find(bytes, 'moov', 'trak', 'mdia', 'mdhd');
    this.#timescale = mdhd.getUint32(mdhd.getUint8(0) ? 20 : 12);
    const stsd = find(bytes, 'moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd');
    // Behind version, flags and count: the sample entry, with 78 bytes of its own before its boxes (12.1.3.2).
    const entry = part(stsd, 8 + 8 + 78, stsd.byteLength);
    const avcC = find(entry, 'avcC');
    const description = part(avcC, 0, avcC.byteLength);
    const codec = `avc1.${[...description.subarray(1, 4)].map(byte => byte.toString(16).padStart(2, '0')).join('')}`;
    return { bytes, codec, description };
  }

  #chunk(bytes, mdat) {
    const tfdt = find(bytes, 'moof', 'traf', 'tfdt');
    const trun = find(bytes, 'moof', 'traf', 'trun');
    const prft = find(bytes, 'prft');
    const flags = trun.getUint32(0) & 0xffffff;
    // One sample, of which all is said here (8.8.8): first what holds for the run, then what holds for the sample.
    let at = 8;
    const next = present => { if (!(flags & present)) return 0; at += 4; return trun.getUint32(at - 4); };
    const [, first, duration, , own, shift] = [0x1, 0x4, 0x100, 0x200, 0x400, 0x800].map(next);
    const sampleFlags = flags & 0x4 ? first : own;
    const decoded = tfdt.getUint8(0) ? Number(tfdt.getBigUint64(4)) : tfdt.getUint32(4);
    const events = [...boxes(bytes)].filter(({ type }) => type === 'emsg').map(({ from, to }) => {
      // Version 1: numbers before the texts.
      const texts = new TextDecoder().decode(bytes.subarray(from + 4 + 20, to)).split('\0');
      return { scheme: texts[0], value: texts[1] };
    });
    return {
      bytes, events,
      sample: bytes.subarray(mdat),
      key: !(sampleFlags & 0x10000),
      time: (decoded + (shift | 0)) / this.#timescale,
      duration: duration / this.#timescale,
      // NTP counts from 1900, and in 2^-32 of a second.
      captured: prft ? (prft.getUint32(8) - 2208988800 + prft.getUint32(12) / 2 ** 32) * 1000 : NaN,
    };
  }
}

/** The boxes in these bytes that are there to their end: { type, from, to } of what is in them. */
function* boxes(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 8 <= bytes.length;) {
    const size = view.getUint32(at);
    if (size < 8) throw new Unplayable(`a box of ${size} bytes`);
    if (at + size > bytes.length) return;
    yield { type: String.fromCharCode(...bytes.subarray(at + 4, at + 8)), from: at + 8, to: at + size };
    at += size;
  }
}

/** The content of the first box of this path, as a DataView; undefined if there is none. */
function find(bytes, type, ...path) {
  for (const found of boxes(bytes)) {
    if (found.type !== type) continue;
    const content = bytes.subarray(found.from, found.to);
    return path.length ? find(content, ...path) : new DataView(content.buffer, content.byteOffset, content.byteLength);
  }
}

/** Bytes of a view. */
const part = (view, from, to) => new Uint8Array(view.buffer, view.byteOffset + from, to - from);
