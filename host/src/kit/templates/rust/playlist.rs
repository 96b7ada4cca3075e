//- use

use picam_plugin::{
    Number, m3u8,
    playlist::{self, Answer, Document, Playlist, Presentation, Scope},
};
//- fields
/// How many segments are listed.
segments: u64,
//- options
.number(&SEGMENTS)
//- start
segments: config.number(&SEGMENTS)?,
//- hook
const SEGMENTS: Number = Number::whole(
    "segments",
    10,
    (3, 1_000),
    "segments",
    "how many are listed",
);

/// Seen from the host, it lies at `/cam/front-door.m3u8`.
const DOCUMENT: &str = "front-door.m3u8";

impl Playlist for FrontDoor {
    fn documents(&self) -> Vec<Document> {
        vec![Document::new(
            DOCUMENT,
            Scope::Stream,
            m3u8::CONTENT_TYPE,
            &[],
        )]
    }

    fn render(&mut self, _request: &playlist::Request, presentation: &Presentation) -> Answer {
        let Some(rendition) = presentation.renditions.first() else {
            return Answer::refuse(503, "the stream has not begun yet");
        };
        let complete: Vec<_> = rendition
            .segments
            .iter()
            .filter(|segment| segment.complete)
            .collect();
        let count = usize::try_from(self.segments).unwrap_or(usize::MAX);
        let listed = &complete[complete.len().saturating_sub(count)..];

        let mut list = m3u8::Writer::new();
        list.number("EXT-X-VERSION", 7);
        list.number(
            "EXT-X-TARGETDURATION",
            presentation.timing.target_duration.into(),
        );
        list.number(
            "EXT-X-MEDIA-SEQUENCE",
            listed.first().map_or(0, |segment| segment.sequence),
        );
        // How many discontinuities there were before what is listed.
        let left_out = complete.iter().take(complete.len() - listed.len());
        let before = left_out.filter(|segment| segment.discontinuity).count();
        list.number(
            "EXT-X-DISCONTINUITY-SEQUENCE",
            rendition.discontinuity_sequence + before as u64,
        );
        let mut init = "";
        for segment in listed {
            if segment.discontinuity {
                list.tag("EXT-X-DISCONTINUITY");
            }
            // Media lie in the presentation's own folder, beside this document.
            if segment.init != init {
                init = &segment.init;
                list.attributes("EXT-X-MAP").quoted(
                    "URI",
                    &picam_plugin::text::joined(&[&presentation.id, "/", init]),
                );
            }
            list.extinf(segment.duration);
            list.uri(&picam_plugin::text::joined(&[
                &presentation.id,
                "/",
                &segment.path,
            ]));
        }
        if presentation.ended {
            list.tag("EXT-X-ENDLIST");
        }
        Answer::text(list.finish(), 1)
    }
}

//- tests

#[test]
fn a_stream_that_has_not_begun_is_refused() {
    let request = playlist::Request {
        document: DOCUMENT.into(),
        query: vec![],
        headers: vec![],
        cookies: vec![],
    };
    let timing = playlist::Timing {
        part_target: 200_000,
        target_duration: 2,
        segment: 1_000_000,
        frame: 33_333,
        window: 30_000_000,
    };
    let presentation = Presentation {
        id: "1".into(),
        epoch: 0,
        ended: false,
        superseded: false,
        timing,
        renditions: vec![],
    };
    assert!(matches!(
        plugin([]).render(&request, &presentation),
        Answer::Refuse(_)
    ));
}
