// front-door: a plugin for picam-host.
//
// `picam-host plugin build` makes `front-door.wasm` of it; `picam-host --plugin front-door.wasm` runs it. Names are those of
// wit/ in camel case; numbers of 64 bits are BigInts.

const options = [
  { key: "word", value: "", text: "none", help: "who gives it, as in /?word=sesame, is let in from anywhere" },
];

// What is configured, by key.
let settings;

export const lifecycle = {
  describe() {
    return {
      name: "front-door",
      version: "0.1.0",
      summary: "lets in the local network, and whoever knows the word",
      options: options.map(({ key, text, help }) => ({ key, default: text, help })),
    };
  },

  init(config) {
    settings = Object.fromEntries(options.map(({ key, value }) => [key, value]));
    for (const { key, value } of config) settings[key] = value;
    if (!/^[A-Za-z0-9]*$/.test(settings.word)) throw "word: expected letters and digits, as in word=sesame";
  },
};

export const auth = {
  reads() {
    return { query: ["word"], headers: [], cookies: ["word"], method: false, peer: true, form: false };
  },

  decide(request) {
    if (isNear(request.peer)) return allow([]);
    const said = value(request.query, "word");
    // Players don't repeat the query when they fetch media; a cookie comes along by itself.
    if (isTheWord(said)) return allow([{ name: "Set-Cookie", value: `word=${said}; Path=/; HttpOnly; SameSite=Lax` }]);
    if (isTheWord(value(request.cookies, "word"))) return allow([]);
    return {
      tag: "deny",
      val: {
        status: 403,
        headers: [],
        contentType: "text/plain; charset=utf-8",
        body: "You are not at home here. Add ?word= and the word to the address.\n",
        reuse: { seconds: 0, pathPrefix: "" },
      },
    };
  },
};

const allow = (headers) => ({ tag: "allow", val: { reuse: { seconds: 3600, pathPrefix: "/" }, headers } });

// Pairs come as lines, with a tab between key and value; see wit/.
function value(pairs, key) {
  for (const pair of pairs.split("\n")) {
    const [name, value] = pair.split("\t");
    if (name === key) return decodeURIComponent(value);
  }
}

// Looks at every letter, so that nobody learns from the time it takes how many were right.
function isTheWord(said) {
  const word = settings.word;
  if (!said || said.length !== word.length) return false;
  let differences = 0;
  for (let at = 0; at < word.length; at++) differences |= said.charCodeAt(at) ^ word.charCodeAt(at);
  return differences === 0;
}

// Whether an address belongs to this machine or to its local network.
function isNear(peer) {
  const address = peer.replace(/^::ffff:/, "");
  return (
    /^(127|10|192\.168|169\.254|172\.(1[6-9]|2\d|3[01]))\./.test(address) || /^(::1$|f[cd]|fe[89ab])/.test(address)
  );
}
