// What m3u8-parser (the parser of video.js) makes of playlists: reads a JSON list of texts from standard input, writes a
// JSON list of what it found in each.
import { Parser } from 'm3u8-parser';

let input = '';
for await (const chunk of process.stdin) input += chunk;

const read = (text) => {
  const parser = new Parser();
  const complaints = [];
  parser.on('warn', ({ message }) => complaints.push(message));
  parser.on('info', ({ message }) => complaints.push(message));
  parser.push(text);
  parser.end();
  const found = parser.manifest;
  const growing = found.preloadSegment ?? {};
  return {
    complaints,
    playlists: (found.playlists ?? []).map(({ uri, attributes }) => ({
      uri,
      bandwidth: attributes.BANDWIDTH,
      codecs: attributes.CODECS,
      resolution: attributes.RESOLUTION,
    })),
    targetDuration: found.targetDuration,
    partTarget: found.partTargetDuration,
    mediaSequence: found.mediaSequence,
    discontinuitySequence: found.discontinuitySequence,
    skipped: found.skip?.skippedSegments ?? 0,
    ended: found.endList ?? false,
    segments: (found.segments ?? []).map(({ uri, duration, map, dateTimeString, discontinuity, parts }) => ({
      uri,
      duration,
      map: map?.uri,
      dated: Boolean(dateTimeString),
      discontinuity: Boolean(discontinuity),
      parts: (parts ?? []).map((part) => part.uri),
    })),
    growing: (growing.parts ?? []).map((part) => part.uri),
    hints: (growing.preloadHints ?? []).map((hint) => hint.uri),
  };
};

console.log(JSON.stringify(JSON.parse(input).map(read)));
