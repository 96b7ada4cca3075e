// What mpd-parser (the parser of video.js) makes of MPDs: reads a JSON list of texts from standard input, writes a JSON
// list of what it found in each. The argument is the MPD's address.
import { parse } from 'mpd-parser';

const [, , manifestUri] = process.argv;
let input = '';
for await (const chunk of process.stdin) input += chunk;

const read = (text) => {
  const complaints = [];
  const eventHandler = ({ type, message }) => complaints.push(`${type}: ${message}`);
  const found = parse(text, { manifestUri, eventHandler, NOW: Date.now(), clientOffset: 0 });
  return {
    complaints,
    minimumUpdatePeriod: found.minimumUpdatePeriod,
    playlists: found.playlists.map(({ attributes, segments, discontinuityStarts }) => ({
      codecs: attributes.CODECS,
      bandwidth: attributes.BANDWIDTH,
      resolution: attributes.RESOLUTION,
      discontinuities: discontinuityStarts?.length ?? 0,
      segments: segments.map(({ resolvedUri, map }) => ({ uri: resolvedUri, map: map?.resolvedUri })),
    })),
  };
};

console.log(JSON.stringify(JSON.parse(input).map(read)));
