//- use

use picam_plugin::naming::{self, Naming};
//- fields
/// The folder that names begin with.
folder: String,
//- options
.option("folder", "media", "the folder in which media lie")
//- start
folder: config.get("folder").unwrap_or("media").into(),
//- hook
impl Naming for FrontDoor {
    fn name(&mut self, object: &naming::Object) -> String {
        let mut name = picam_plugin::text::joined(&[&self.folder, "/", object.kind.word(), "-"]);
        picam_plugin::text::push_whole(&mut name, object.number);
        name + object.kind.extension()
    }

    fn segment_template(&self, _rendition: &str) -> Option<String> {
        Some(picam_plugin::text::joined(&[
            &self.folder,
            "/segment-$Number$.m4s",
        ]))
    }
}

//- tests

#[test]
fn names_say_what_they_are() {
    let mut plugin = plugin([("folder", "garden")]);
    let object = naming::Object {
        kind: naming::Kind::Segment,
        rendition: "video".into(),
        number: 7,
        captured: 0,
    };
    assert_eq!(plugin.name(&object), "garden/segment-7.m4s");
    let template = plugin.segment_template("video").unwrap();
    assert_eq!(template.replace("$Number$", "7"), "garden/segment-7.m4s");
}
