// Watches a stream several times over, and prints one line of JSON: how long pictures take from the camera to the screen.
//
//   node play.mjs PLAYER URL [--seconds 20] [--joins 1]
//
// PLAYER is `hls.js`, `dash.js` or `shaka` (as it comes from npm; URL is the multivariant playlist or the MPD) or `page`
// (URL is our page; `?player=mse` chooses a way to play).
// Each join opens the page anew at another moment of the segment; the first second of each counts for nothing, as the
// picture just appeared. The picture must carry the clock bar (`picam-host --source pattern`), and both clocks must be
// one: host and browser run on the same machine.
//
//   { player, url, seconds, median, p90, frames, unread, waits, waitedSeconds, gaps, longestGap, hiccup, dropped,
//     joins: [{ median, p90, frames, waits, errors, … }] }      times in milliseconds unless named otherwise

import { parseArgs } from 'node:util';
import { PLAYERS, launch, percentile, servePlayers, watch } from './viewer.mjs';

const { positionals: [player, url], values } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '20' }, joins: { type: 'string', default: '1' } },
});
const seconds = Number(values.seconds);
const joins = Number(values.joins);
if (!PLAYERS.includes(player) || !url || !(seconds > 0) || !(joins >= 1)) {
  console.error(`usage: node play.mjs ${PLAYERS.join('|')} URL [--seconds 20] [--joins 1]`);
  process.exit(2);
}
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const players = await servePlayers();
const browser = await launch();
const results = [];
const delays = [];
try {
  for (let join = 0; join < joins; join++) {
    const viewer = await watch(browser, players.url(player, url));
    await viewer.page.waitForFunction(() => window.measure.report().frames > 0, null, { timeout: 60_000 });
    await sleep(1000);
    await viewer.restart();
    await sleep(seconds * 1000);
    const { delays: own, deviations: _, ...rest } = await viewer.report();
    delays.push(...own);
    results.push({ median: percentile(own, 0.5), p90: percentile(own, 0.9), ...rest });
    await viewer.close();
    // Joins at the same moment of every segment would all see the same.
    await sleep(Math.random() * 1000);
  }
} finally {
  await browser.close();
  players.close();
}
const sum = (value) => results.reduce((total, result) => total + value(result), 0);
const most = (value) => Math.max(...results.map(value));
console.log(JSON.stringify({
  player, url, seconds,
  median: percentile(delays, 0.5), p90: percentile(delays, 0.9),
  frames: sum((r) => r.frames), unread: sum((r) => r.unread),
  waits: sum((r) => r.waits.count), waitedSeconds: sum((r) => r.waits.seconds),
  gaps: sum((r) => r.gaps.count), longestGap: most((r) => r.gaps.longest), hiccup: most((r) => r.hiccup),
  dropped: sum((r) => r.dropped),
  joins: results,
}));
