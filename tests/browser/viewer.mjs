// Chromium with a player in it, and what a viewer sees.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const here = (path) => new URL(path, import.meta.url);

/** Starts Chromium, from `CHROMIUM` or where Debian has it. */
export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
  ],
});

/** Players as they come from npm, each with the page that uses it. */
const players = {
  'hls.js': ['/hls.html', '/hls.js', 'hls.js/dist/hls.min.js'],
  'dash.js': ['/dash.html', '/dash.js', 'dashjs/dist/modern/umd/dash.all.min.js'],
  shaka: ['/shaka.html', '/shaka.js', 'shaka-player/dist/shaka-player.compiled.js'],
};

/** Their names; and `page`, which is an address that has a player. */
export const PLAYERS = [...Object.keys(players), 'page'];

/**
 * Serves the pages with the players, and the pages in examples/pages, on a free port of the loopback interface: another
 * origin than the host's. `url` is where a player plays a stream, `example` where an example plays, in which `host` takes the
 * place of the address that people put in.
 * @returns {Promise<{url: (player: string, stream: string) => string, example: (name: string, host: string) => string,
 *   close: () => void}>}
 */
export async function servePlayers() {
  const files = Object.fromEntries(Object.values(players).flatMap(([page, script, source]) => [
    [page, [here(`pages${page}`), 'text/html; charset=utf-8']],
    [script, [here(`node_modules/${source}`), 'text/javascript']],
  ]));
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    const example = pathname.match(/^\/examples\/([a-z-]+\.html)$/)?.[1];
    const file = example ? [here(`../../examples/pages/${example}`), 'text/html; charset=utf-8'] : files[pathname];
    if (!file) { response.writeHead(404).end(); return; }
    try {
      let body = await readFile(file[0], 'utf8');
      if (example) body = body.replaceAll('http://pi.local:8080', searchParams.get('host'));
      response.writeHead(200, { 'Content-Type': file[1] }).end(body);
    } catch (error) {
      response.writeHead(500).end(error.message);
    }
  });
  await new Promise((listening, failed) => server.on('error', failed).listen(0, '127.0.0.1', listening));
  const { port } = server.address();
  return {
    url: (player, stream) => player === 'page' ? stream
      : `http://127.0.0.1:${port}${players[player][0]}?src=${encodeURIComponent(stream)}`,
    example: (name, host) => `http://127.0.0.1:${port}/examples/${name}?host=${encodeURIComponent(host)}`,
    close: () => server.close(),
  };
}

/** Opens a page and watches its video. The answer's `report()` is described in measure.js, and counts `loads` besides. */
export async function watch(browser, url) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 700 } });
  const page = await context.newPage();
  const pageErrors = [];
  const foreign = [];
  let loads = 0;
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  page.on('framenavigated', () => { loads++; });
  page.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (!['data:', 'blob:'].includes(protocol) && hostname !== '127.0.0.1') foreign.push(request.url());
  });
  const clockbar = (await readFile(here('clockbar.js'), 'utf8')).replace(/^export /gm, '');
  const measure = await readFile(here('measure.js'), 'utf8');
  await page.goto(url);
  await page.waitForSelector('video, canvas', { state: 'attached' });
  // As an expression, so that no policy of the page stands in the way.
  await page.evaluate(`(() => { ${clockbar}\n${measure} })()`);
  return {
    page,
    restart: () => page.evaluate(() => window.measure.restart()),
    report: async () => ({ ...await page.evaluate(() => window.measure.report()), loads, pageErrors, foreign }),
    close: () => context.close(),
  };
}

/** The value below which this share of the numbers lies; null without numbers. */
export function percentile(numbers, share) {
  if (!numbers.length) return null;
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
