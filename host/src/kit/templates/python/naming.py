#- use
from wit_world.exports import naming
#- options
("folder", "media", "media", "the folder in which media lie"),
#- hook
class Naming(exports.Naming):
    def name(self, object):
        kind = object.kind.name.lower()
        ending = ".mp4" if object.kind == naming.Kind.INIT else ".m4s"
        return f"{settings['folder']}/{kind}-{object.number}{ending}"

    def segment_template(self, rendition):
        return f"{settings['folder']}/segment-$Number$.m4s"


