#- use
from wit_world.exports import overlay
#- options
("text", "Hello from front-door", "Hello from front-door", "what is written on the picture"),
#- hook
class Overlay(exports.Overlay):
    def draw(self, frame):
        # Positions and sizes are thousandths of the picture.
        text = overlay.Text(
            at=overlay.Point(20, 30),
            anchor=overlay.Anchor.TOP_LEFT,
            content=settings["text"],
            size=60,
            colour=overlay.Colour(255, 255, 255, 255),
            background=overlay.Colour(0, 0, 0, 128),
            outline=None,
            font="",
        )
        # For good.
        return overlay.Drawing(operations=[overlay.Operation_Text(text)], until=2**64 - 1)


