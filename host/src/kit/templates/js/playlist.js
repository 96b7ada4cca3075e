//- options
{ key: "segments", value: "10", text: "10", help: "how many are listed, 3 to 1000" },
//- init
if (!/^\d+$/.test(settings.segments) || settings.segments < 3 || settings.segments > 1000) {
  throw `segments=${settings.segments}: expected a whole number from 3 to 1000, as in segments=10`;
}
//- hook
export const playlist = {
  wantedTiming() {
    return { segment: undefined, part: undefined, window: undefined };
  },

  // Seen from the host, it lies at /cam/front-door.m3u8.
  documents() {
    const reads = { query: [], headers: [], cookies: [], method: false, peer: false, form: false };
    return [{ path: "front-door.m3u8", scope: "stream", contentType: "application/vnd.apple.mpegurl", reads }];
  },

  render(_request, presentation) {
    const rendition = presentation.renditions[0];
    if (!rendition) return { tag: "refuse", val: { status: 503, reason: "the stream has not begun yet" } };
    const complete = rendition.segments.filter((segment) => segment.complete);
    const listed = complete.slice(-Number(settings.segments));
    const before = complete.slice(0, complete.length - listed.length).filter((segment) => segment.discontinuity);
    const lines = [
      "#EXTM3U",
      "#EXT-X-VERSION:7",
      `#EXT-X-TARGETDURATION:${presentation.timing.targetDuration}`,
      `#EXT-X-MEDIA-SEQUENCE:${listed[0]?.sequence ?? 0}`,
      `#EXT-X-DISCONTINUITY-SEQUENCE:${rendition.discontinuitySequence + BigInt(before.length)}`,
    ];
    let init;
    for (const segment of listed) {
      if (segment.discontinuity) lines.push("#EXT-X-DISCONTINUITY");
      // Media lie in the presentation's own folder, beside this document.
      if (segment.init !== init) {
        init = segment.init;
        lines.push(`#EXT-X-MAP:URI="${presentation.id}/${init}"`);
      }
      lines.push(`#EXTINF:${(Number(segment.duration) / 1e6).toFixed(6)},`, `${presentation.id}/${segment.path}`);
    }
    if (presentation.ended) lines.push("#EXT-X-ENDLIST");
    return { tag: "document", val: { body: lines.join("\n") + "\n", maxAge: 1 } };
  },
};
