#- use
from wit_world.exports import playlist
from wit_world.imports.types import Inputs, Refusal
#- options
("segments", "10", "10", "how many are listed, 3 to 1000"),
#- init
if not settings["segments"].isdecimal() or not 3 <= int(settings["segments"]) <= 1000:
    raise Err(f"segments={settings['segments']}: expected a whole number from 3 to 1000, as in segments=10")
#- hook
class Playlist(exports.Playlist):
    def wanted_timing(self):
        return playlist.TimingRequest(segment=None, part=None, window=None)

    def documents(self):
        # Seen from the host, it lies at /cam/front-door.m3u8.
        reads = Inputs(query=[], headers=[], cookies=[], method=False, peer=False, form=False)
        return [
            playlist.Document("front-door.m3u8", playlist.Scope.STREAM, "application/vnd.apple.mpegurl", reads)
        ]

    def render(self, request, presentation):
        if not presentation.renditions:
            return playlist.Answer_Refuse(Refusal(503, "the stream has not begun yet"))
        rendition = presentation.renditions[0]
        complete = [segment for segment in rendition.segments if segment.complete]
        listed = complete[-int(settings["segments"]) :]
        before = sum(segment.discontinuity for segment in complete[: len(complete) - len(listed)])
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            f"#EXT-X-TARGETDURATION:{presentation.timing.target_duration}",
            f"#EXT-X-MEDIA-SEQUENCE:{listed[0].sequence if listed else 0}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{rendition.discontinuity_sequence + before}",
        ]
        init = None
        for segment in listed:
            if segment.discontinuity:
                lines.append("#EXT-X-DISCONTINUITY")
            # Media lie in the presentation's own folder, beside this document.
            if segment.init != init:
                init = segment.init
                lines.append(f'#EXT-X-MAP:URI="{presentation.id}/{init}"')
            lines += [f"#EXTINF:{segment.duration / 1e6:.6f},", f"{presentation.id}/{segment.path}"]
        if presentation.ended:
            lines.append("#EXT-X-ENDLIST")
        return playlist.Answer_Document(playlist.Text("\n".join(lines) + "\n", 1))


