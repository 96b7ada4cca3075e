// Reads the clock bar of the test pattern: the time of capture and the number of the frame, as black and white blocks.
// The layout is described in host/src/picture/clockbar.rs, whose reader this one mirrors.
//
// In a page:
//
//   context.drawImage(video, 0, 0, canvas.width, canvas.height);
//   const reading = readClockbar(context.getImageData(0, 0, canvas.width, canvas.height));
//   const delay = reading && Date.now() - reading.millis;

const COLUMNS = 32;
const ROWS = 3;
const FIRST_DATA = 2;
const LAST_DATA = 29;
// Columns 0, 1, 30 and 31 of rows 0 and 2; row 1 has the opposite.
const SYNC = [[0, 1], [1, 0], [30, 0], [31, 1]];
// White must be brighter than black by this much for a reading to be worth trying.
const CONTRAST = 48;
const MILLIS_BITS = 44;
const FRAME_BITS = 24;

/**
 * Reads the bar of a whole picture, at any size from 64x45 up.
 *
 * @param {{data: ArrayLike<number>, width: number, height: number}} imageData RGBA, as a canvas gives it: the whole
 *   picture and nothing else.
 * @returns {{millis: number, frame: number} | null} `millis`: when the picture was captured, in milliseconds since 1970
 *   (as `Date.now()` counts). `frame`: its number, modulo 2^24. `null` if there is no bar, or it can't be read without
 *   doubt.
 */
export function readClockbar({ data, width, height }) {
  if (width < COLUMNS * 2 || height < 45 || data.length < width * height * 4) return null;

  const columnEdge = (column) => Math.floor((column * width + COLUMNS / 2) / COLUMNS);
  const rowEdge = (row) => Math.floor(((39 + 2 * row) * height + 22) / 45);

  // Mean luma of the middle of a block.
  const level = (row, column) => {
    const [left, right] = middle(columnEdge(column), columnEdge(column + 1));
    const [top, bottom] = middle(rowEdge(row), rowEdge(row + 1));
    let sum = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const at = (y * width + x) * 4;
        sum += 0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2];
      }
    }
    return sum / ((right - left) * (bottom - top));
  };

  const known = [];
  for (let row = 0; row < ROWS; row++) {
    for (const [column, white] of SYNC) known.push({ level: level(row, column), white: row === 1 ? 1 - white : white });
  }
  const mean = (wanted) => known.filter(({ white }) => white === wanted).reduce((sum, { level }) => sum + level, 0) / 6;
  const black = mean(0);
  const white = mean(1);
  if (white < black + CONTRAST) return null;
  const bit = (level) => (2 * level > black + white ? 1 : 0);
  if (known.some(({ level, white }) => bit(level) !== white)) return null;

  const bits = [];
  for (let row = 0; row < ROWS; row++) {
    for (let column = FIRST_DATA; column <= LAST_DATA; column++) bits.push(bit(level(row, column)));
  }
  // 44 bits are within what a number holds exactly, but not within what its bit operators do.
  const number = (from, to) => bits.slice(from, to).reduce((value, bit) => value * 2 + bit, 0);
  const millis = number(0, MILLIS_BITS);
  const frame = number(MILLIS_BITS, MILLIS_BITS + FRAME_BITS);
  const checksum = number(MILLIS_BITS + FRAME_BITS, bits.length);
  return checksum === crc(millis, frame) ? { millis, frame } : null;
}

function middle(from, to) {
  const quarter = Math.floor((to - from) / 4);
  return [from + quarter, to - quarter];
}

// CRC-16/IBM-3740 of the time in six bytes and the frame number in three, both big-endian.
function crc(millis, frame) {
  const byte = (value, index) => Math.floor(value / 256 ** index) % 256;
  const bytes = [5, 4, 3, 2, 1, 0].map((index) => byte(millis, index));
  bytes.push(...[2, 1, 0].map((index) => byte(frame, index)));
  let crc = 0xffff;
  for (const value of bytes) {
    crc ^= value << 8;
    for (let step = 0; step < 8; step++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc;
}
