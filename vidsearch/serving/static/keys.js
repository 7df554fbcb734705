// The keys, in one dialog.

import { h } from "/static/dom.js";

const KEYS = [
  ["Everywhere", [["/", "go to the search box"], ["?", "this list"], ["Tab", "on to the next control"]]],
  [
    "Among pictures",
    [
      ["← → ↑ ↓", "go from picture to picture"],
      ["P", "play the moment in its place"],
      ["Enter", "open the video there"],
      ["X", "select the moment, or not"],
      ["S", "find similar moments"],
    ],
  ],
  [
    "In a video",
    [
      ["Space", "play, pause"],
      ["← →", "5 seconds back, on"],
      ["J L", "10 seconds back, on"],
      [", .", "a picture back, on"],
      ["I O", "set the start, the end of the range"],
      ["N B", "next moment, the one before"],
      ["A", "ask about the range"],
      ["X", "select the range"],
    ],
  ],
];

export function showKeys() {
  const close = h("button", { type: "button", class: "primary", text: "Close", onclick: () => dialog.close() });
  const dialog = h(
    "dialog",
    { class: "keys", "aria-labelledby": "keys-title", onclose: () => dialog.remove() },
    h("h2", { id: "keys-title", text: "Keys" }),
    h(
      "div",
      { class: "key-groups" },
      KEYS.map(([title, rows]) =>
        h(
          "section",
          {},
          h("h3", { text: title }),
          h("dl", {}, rows.map(([keys, what]) => [h("dt", {}, keys.split(" ").map((key) => h("kbd", { text: key }))), h("dd", { text: what })])),
        ),
      ),
    ),
    close,
  );
  document.body.append(dialog);
  dialog.showModal();
}
