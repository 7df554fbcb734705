// A question about a range of a video; the words of the answer come in one by one.

import { events } from "/static/api.js";
import { clock, h, say } from "/static/dom.js";

/** The panel. `range()` gives the seconds that are asked about; `seek` goes to a time. */
export function askPanel(number, range, seek, leaving) {
  const box = h("textarea", { id: "question", rows: "2", maxlength: "2000", placeholder: "What is the person holding?", "aria-label": "Question about the range" });
  const button = h("button", { type: "submit", class: "primary", text: "Ask" });
  const talk = h("div", { class: "talk", id: "answers" });
  const about = h("p", { class: "soft about" });
  const form = h("form", { class: "ask", onsubmit: (event) => (event.preventDefault(), put()) }, box, h("div", { class: "row" }, about, button));
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      put();
    }
  });
  let asking = null;

  async function put() {
    if (asking) {
      asking.abort();
      return;
    }
    const question = box.value.trim();
    if (!question) return box.focus();
    const [start_s, end_s] = range();
    const words = h("p", { class: "answer", "aria-live": "polite" });
    const note = h("p", { class: "soft note" }, h("span", { class: "spin", "aria-hidden": "true" }), " waiting…");
    talk.prepend(h("article", { class: "turn" }, h("p", { class: "question", text: question }), words, note));
    asking = new AbortController();
    leaving.addEventListener("abort", () => asking?.abort(), { once: true });
    button.textContent = "Stop";
    box.value = "";
    try {
      for await (const event of events("ask", { video: number, start_s, end_s, question }, asking.signal)) {
        if (event.kind === "waiting") note.lastChild.textContent = ` ${event.model} looks at ${clock(start_s)}-${clock(end_s)}…`;
        else if (event.kind === "encoded") note.replaceWith(looked(event));
        else if (event.kind === "piece") words.append(event.text);
        else if (event.kind === "answered") say(`Answer: ${event.answer}`);
        else if (event.kind === "error") throw new Error([event.error, ...(event.ways ?? [])].join(" "));
        if (event.kind === "question" && event.unknown_words.length) {
          words.before(h("p", { class: "soft", text: `It does not know: ${event.unknown_words.join(", ")}.` }));
        }
      }
    } catch (error) {
      words.append(h("span", { class: "bad", text: error.name === "AbortError" ? " (stopped)" : ` ${error.message}` }));
    } finally {
      talk.querySelectorAll(".spin").forEach((spin) => spin.remove());
      asking = null;
      button.textContent = "Ask";
    }
  }

  function looked(event) {
    return h(
      "p",
      { class: "soft note" },
      `Looked at ${event.frames_s.length} pictures: `,
      event.frames_s.filter((_, place) => place % 4 === 0).map((time) => [h("button", { type: "button", class: "link", text: clock(time, true), onclick: () => seek(time) }), " "]),
    );
  }

  return {
    root: h("section", { class: "panel", "aria-labelledby": "ask-title" }, h("h2", { id: "ask-title", text: "Ask" }), form, talk, h("p", { class: "soft fine", text: "Answers can be wrong." })),
    focus: () => box.focus(),
    refresh: () => (about.textContent = `about ${range().map((time) => clock(time, true)).join(" - ")}`),
  };
}
