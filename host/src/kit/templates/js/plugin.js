// front-door: a plugin for picam-host.
//
// `picam-host plugin build` makes `front-door.wasm` of it; `picam-host --plugin front-door.wasm` runs it. Names are those of
// wit/ in camel case; numbers of 64 bits are BigInts.

const options = [
  //+ options
];

// What is configured, by key.
let settings;

export const lifecycle = {
  describe() {
    return {
      name: "front-door",
      version: "0.1.0",
      summary: "SUMMARY",
      options: options.map(({ key, text, help }) => ({ key, default: text, help })),
    };
  },

  init(config) {
    settings = Object.fromEntries(options.map(({ key, value }) => [key, value]));
    for (const { key, value } of config) settings[key] = value;
    //+ init
  },
};

//+ hook
