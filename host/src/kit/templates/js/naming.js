//- options
{ key: "folder", value: "media", text: "media", help: "the folder in which media lie" },
//- hook
export const naming = {
  name({ kind, number }) {
    return `${settings.folder}/${kind}-${number}${kind === "init" ? ".mp4" : ".m4s"}`;
  },

  segmentTemplate(_rendition) {
    return `${settings.folder}/segment-$Number$.m4s`;
  },
};
