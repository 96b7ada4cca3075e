"""front-door: a plugin for picam-host.

`picam-host plugin build` makes `front-door.wasm` of it; `picam-host --plugin front-door.wasm` runs it. The contract is in
wit/; `componentize-py -d wit -w front-door bindings .` writes it as Python, for editors to read.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import lifecycle
#+ use

OPTIONS = [
    #+ options
]

# What is configured, by key.
settings = {}


class Lifecycle(exports.Lifecycle):
    def describe(self):
        return lifecycle.Description(
            name="front-door",
            version="0.1.0",
            summary="SUMMARY",
            options=[lifecycle.OptionHelp(key=key, default=text, help=help) for key, _, text, help in OPTIONS],
        )

    def init(self, config):
        settings.update({key: value for key, value, _, _ in OPTIONS})
        settings.update({pair.key: pair.value for pair in config})
        #+ init


#+ hook
