"""front-door: a plugin for picam-host.

`picam-host plugin build` makes `front-door.wasm` of it; `picam-host --plugin front-door.wasm` runs it. The contract is in
wit/; `componentize-py -d wit -w front-door bindings .` writes it as Python, for editors to read.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import lifecycle
from hmac import compare_digest
from ipaddress import ip_address
from urllib.parse import unquote
from wit_world.exports import auth
from wit_world.imports.types import Inputs

OPTIONS = [
    ("word", "", "none", "who gives it, as in /?word=sesame, is let in from anywhere"),
]

# What is configured, by key.
settings = {}


class Lifecycle(exports.Lifecycle):
    def describe(self):
        return lifecycle.Description(
            name="front-door",
            version="0.1.0",
            summary="lets in the local network, and whoever knows the word",
            options=[lifecycle.OptionHelp(key=key, default=text, help=help) for key, _, text, help in OPTIONS],
        )

    def init(self, config):
        settings.update({key: value for key, value, _, _ in OPTIONS})
        settings.update({pair.key: pair.value for pair in config})
        if settings["word"] and not (settings["word"].isascii() and settings["word"].isalnum()):
            raise Err("word: expected letters and digits, as in word=sesame")


class Auth(exports.Auth):
    def reads(self):
        return Inputs(query=["word"], headers=[], cookies=["word"], method=False, peer=True, form=False)

    def decide(self, request):
        if is_near(request.peer):
            return allow([])
        said = value(request.query, "word")
        if is_the_word(said):
            # Players don't repeat the query when they fetch media; a cookie comes along by itself.
            return allow([auth.Header("Set-Cookie", f"word={said}; Path=/; HttpOnly; SameSite=Lax")])
        if is_the_word(value(request.cookies, "word")):
            return allow([])
        return auth.Decision_Deny(
            auth.Denial(
                status=403,
                headers=[],
                content_type="text/plain; charset=utf-8",
                body="You are not at home here. Add ?word= and the word to the address.\n",
                reuse=auth.Reuse(0, ""),
            )
        )


def allow(headers):
    return auth.Decision_Allow(auth.Permission(auth.Reuse(3600, "/"), headers))


def value(pairs, key):
    """Pairs come as lines, with a tab between key and value; see wit/."""
    for pair in pairs.splitlines():
        name, _, value = pair.partition("\t")
        if name == key:
            return unquote(value)
    return ""


def is_the_word(said):
    """Looks at every letter, so that nobody learns from the time it takes how many were right."""
    return settings["word"] != "" and compare_digest(said.encode(), settings["word"].encode())


def is_near(peer):
    """Whether an address belongs to this machine or to its local network."""
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    if address.version == 6:
        return address.is_loopback or address.is_link_local or address.packed[0] & 0xFE == 0xFC
    octets = address.packed
    return (
        octets[0] in (10, 127)
        or octets[:2] in (b"\xc0\xa8", b"\xa9\xfe")
        or (octets[0] == 172 and 16 <= octets[1] < 32)
    )
