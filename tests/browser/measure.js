// Watches the page's <video>, or the canvas on which our own player draws, as a viewer would: what is on the screen, when it was captured (from the clock bar in the
// picture), and when it stood still. Runs inside the page, whatever player that has; viewer.mjs puts it there.
//
// window.measure.report() gives, since the page was opened:
//   frames        pictures shown
//   delays        milliseconds from capture to screen, one per picture whose clock bar could be read
//   deviations    milliseconds by which our own page's idea of that delay is off, one per such picture; empty elsewhere
//   unread        pictures whose clock bar could not
//   waits         { count, seconds } of 'waiting' events after playback began, without seeks: the player ran dry; a canvas
//                 has none, so its gaps count
//   gaps          { count, longest } of silences between two pictures that were more than 250 ms longer than the time
//                 between them in the stream; milliseconds
//   hiccup        the longest that this page was kept from running, in milliseconds: a machine that did nothing for so
//                 long says nothing of the stream
//   dropped, decoded   as the browser counts
//   sizes         each size of the picture, in order: [[width, height], …]
//   shown         when the last such picture was captured, in milliseconds since 1970; null before one
//   rewinds       pictures whose frame number was smaller than the one before, by the clock bar
//   errors        what the player complained about
//   position      time of the picture last seen
(() => {
  const video = document.querySelector('video');
  // Small is quick to read, and a block of the bar still has 10 by 8 pixels.
  const canvas = document.createElement('canvas');
  canvas.width = 320;
  canvas.height = 180;
  const context = canvas.getContext('2d', { willReadFrequently: true });

  const seen = { frames: 0, delays: [], deviations: [], unread: 0, gaps: { count: 0, longest: 0 }, hiccup: 0, sizes: [], rewinds: 0, shown: null };
  let last = null, lastNumber = null;
  let waits = 0, waited = 0, since = null;

  function onFrame(picture, frame) {
    const now = Date.now();
    seen.frames++;
    if (last && frame.mediaTime > last.mediaTime) {
      const gap = frame.presentationTime - last.presentationTime - (frame.mediaTime - last.mediaTime) * 1000;
      if (gap > 250) {
        seen.gaps.count++;
        seen.gaps.longest = Math.max(seen.gaps.longest, gap);
        if (picture !== video) { waits++; waited += gap; }
      }
    }
    last = frame;
    const size = [frame.width, frame.height];
    if (String(seen.sizes.at(-1)) !== String(size)) seen.sizes.push(size);
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const reading = readClockbar(context.getImageData(0, 0, canvas.width, canvas.height));
    if (!reading) { seen.unread++; return; }
    seen.shown = reading.millis;
    seen.delays.push(now - reading.millis);
    const said = window.picam?.latency;
    if (said != null) seen.deviations.push(said * 1000 - (now - reading.millis));
    if (lastNumber !== null && reading.frame < lastNumber) seen.rewinds++;
    lastNumber = reading.frame;
  }
  function watch(_, frame) {
    video.requestVideoFrameCallback(watch);
    onFrame(video, frame);
  }
  video?.requestVideoFrameCallback(watch);
  // Our own player says with each picture that it has drawn it.
  document.addEventListener('frame', ({ target, detail: { time, width, height } }) => {
    onFrame(target, { mediaTime: time, presentationTime: performance.now(), width, height });
  }, true);

  function goes() {
    if (since === null) return;
    waited += performance.now() - since;
    since = null;
  }
  video?.addEventListener('waiting', () => {
    if (!seen.frames || video.seeking || video.paused || since !== null) return;
    since = performance.now();
    waits++;
  });
  video?.addEventListener('playing', goes);
  video?.addEventListener('timeupdate', () => { if (video.readyState > 2 && !video.seeking) goes(); });

  let beat = performance.now();
  setInterval(() => {
    const now = performance.now();
    seen.hiccup = Math.max(seen.hiccup, now - beat - 50);
    beat = now;
  }, 50);

  window.measure = {
    /** Begins anew, so that joining isn't part of what is measured. */
    restart() {
      Object.assign(seen, { frames: 1, delays: [], deviations: [], unread: 0, gaps: { count: 0, longest: 0 }, hiccup: 0, rewinds: 0 });
      seen.sizes = seen.sizes.slice(-1);
      waits = 0; waited = 0;
      if (since !== null) since = performance.now();
    },
    report() {
      const quality = video?.getVideoPlaybackQuality();
      const drawn = window.picam && window.picam.picture !== video;
      return {
        ...seen,
        waits: { count: waits, seconds: (waited + (since === null ? 0 : performance.now() - since)) / 1000 },
        dropped: drawn ? window.picam.dropped : quality?.droppedVideoFrames ?? 0,
        decoded: drawn ? window.picam.frames : quality?.totalVideoFrames ?? 0,
        errors: window.playerErrors ?? window.picam?.errors ?? [],
        position: last?.mediaTime ?? 0,
        picam: window.picam ? {
          state: window.picam.state, text: window.picam.text, engine: window.picam.engine, latency: window.picam.latency,
          clock: window.picam.clock, size: window.picam.size, buffer: window.picam.buffer, stalls: window.picam.stalls,
          connections: window.picam.connections, playlist: window.picam.playlist, rate: window.picam.rate,
          drawn: window.picam.drawn,
        } : null,
      };
    },
  };
})();
