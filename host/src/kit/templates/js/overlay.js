//- options
{ key: "text", value: "Hello from front-door", text: "Hello from front-door", help: "what is written on the picture" },
//- hook
export const overlay = {
  draw(_frame) {
    // Positions and sizes are thousandths of the picture.
    const text = {
      at: { x: 20, y: 30 },
      anchor: "top-left",
      content: settings.text,
      size: 60,
      colour: { red: 255, green: 255, blue: 255, alpha: 255 },
      background: { red: 0, green: 0, blue: 0, alpha: 128 },
      outline: undefined,
      font: "",
    };
    // For good.
    return { operations: [{ tag: "text", val: text }], until: 2n ** 64n - 1n };
  },
};
