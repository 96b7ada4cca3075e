//- use

use picam_plugin::overlay::{self, Colour, Drawing, Overlay};
//- fields
/// What is written on the picture.
text: String,
//- options
.option(
    "text",
    "Hello from front-door",
    "what is written on the picture",
)
//- start
text: config.get("text").unwrap_or("Hello from front-door").into(),
//- hook
impl Overlay for FrontDoor {
    fn draw(&mut self, _frame: &overlay::Frame) -> Drawing {
        // Positions and sizes are thousandths of the picture.
        let text = overlay::Text::new(self.text.as_str())
            .at(20, 30)
            .size(60)
            .colour(Colour::WHITE)
            .background(Colour::BLACK.alpha(128));
        Drawing::new().with(text).for_good()
    }
}

//- tests

#[test]
fn the_text_is_the_configured_one_and_holds_for_good() {
    let frame = overlay::Frame {
        time: 0,
        captured: 0,
        width: 1280,
        height: 720,
    };
    let drawing = plugin([("text", "Garden")]).draw(&frame);
    assert_eq!(drawing.until, u64::MAX);
    let [overlay::Operation::Text(text)] = &drawing.operations[..] else {
        panic!("one text, not {:?}", drawing.operations);
    };
    assert_eq!(text.content, "Garden");
}
