// One viewer whom a test tells what to do: a line of JSON in, a line of JSON out.
//
//   {"open": "hls.js" | "dash.js" | "shaka" | "page", "url": "…"}   opens the player
//   {"open": "example", "name": "own.html", "url": "…"}   opens a page of examples/pages, which embeds that host's stream
//   {"freeze": true}, {"freeze": false}       stands still, as when the lid is closed; goes on
//   {"astray": true}                         puts the playhead of our page's video where nothing is
//   {"report": true}                          what was seen so far (measure.js), with `median` and `p90` of the delays,
//                                             and the median `deviation`, in milliseconds instead of all of them
//   {"restart": true}                         counts from here on
//   {"screenshot": "path.png"}                what it looks like
//   {"colours": [[x, y], …]}                  [red, green, blue, alpha] of what our page draws over the picture, at points in
//                                             thousandths of its width and height
//
// The end of the input ends it. Something that fails answers {"error": "…"}.

import { createInterface } from 'node:readline';
import { launch, percentile, servePlayers, watch } from './viewer.mjs';

const players = await servePlayers();
const browser = await launch();
let viewer = null;
let frozen = null;

const act = async (order) => {
  if (order.open) {
    await viewer?.close();
    const url = { page: () => order.url, example: () => players.example(order.name, order.url) }[order.open];
    viewer = await watch(browser, url?.() ?? players.url(order.open, order.url));
    return {};
  }
  if (!viewer) throw new Error('nothing is open');
  if (order.report) {
    const { delays, deviations, ...rest } = await viewer.report();
    return {
      readings: delays.length, median: percentile(delays, 0.5), p90: percentile(delays, 0.9),
      deviation: percentile(deviations.map(Math.abs), 0.5), ...rest,
    };
  }
  if ('freeze' in order) {
    frozen ??= await viewer.page.context().newCDPSession(viewer.page);
    await frozen.send('Page.setWebLifecycleState', { state: order.freeze ? 'frozen' : 'active' });
    return {};
  }
  if (order.astray) {
    await viewer.page.evaluate(() => { document.querySelector('video').currentTime = 1e6; });
    return {};
  }
  if (order.restart) { await viewer.restart(); return {}; }
  if (order.screenshot) { await viewer.page.screenshot({ path: order.screenshot }); return {}; }
  if (order.colours) {
    return viewer.page.evaluate((points) => {
      const canvas = document.getElementById('drawn');
      const context = canvas.getContext('2d');
      return points.map(([x, y]) => [...context.getImageData(
        Math.floor(x * canvas.width / 1000), Math.floor(y * canvas.height / 1000), 1, 1).data]);
    }, order.colours);
  }
  throw new Error(`unknown order ${JSON.stringify(order)}`);
};

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try { answer = await act(JSON.parse(line)); } catch (error) { answer = { error: String(error?.message ?? error) }; }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
players.close();
