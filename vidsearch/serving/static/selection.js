// The moments that were selected, kept while the tab is open, and what can be made of them.

import { picture, post } from "/static/api.js";
import { SIGNS, clock, h, nameOf, plural, say, sign, span } from "/static/dom.js";

const MOST = 200;
const listeners = new Map();
let moments = JSON.parse(sessionStorage.getItem("selection") ?? "[]");

const key = (moment) => `${moment.video}@${moment.start_s}-${moment.end_s}`;

export function isSelected(moment) {
  return moments.some((other) => key(other) === key(moment));
}

export function toggle(moment) {
  const had = isSelected(moment);
  if (!had && moments.length >= MOST) return say(`At most ${MOST} moments can be selected.`);
  const { video, start_s, end_s, best_s, path } = moment;
  moments = had ? moments.filter((other) => key(other) !== key(moment)) : [...moments, { video, start_s, end_s, best_s, path }];
  say(had ? "No longer selected." : `Selected, ${plural(moments.length, "moment")} in all.`);
  changed();
}

/** Calls `refresh` after every change while the element is in the page. */
export function onSelection(element, refresh) {
  listeners.set(element, refresh);
}

function changed() {
  sessionStorage.setItem("selection", JSON.stringify(moments));
  for (const [element, refresh] of listeners) {
    if (element.isConnected) refresh();
    else listeners.delete(element);
  }
  showTray();
}

const FORMS = [
  ["clips", "Clips (ZIP), quick"],
  ["exact", "Clips (ZIP), to the frame"],
  ["edl", "EDL (CMX 3600)"],
  ["fcpxml", "Final Cut Pro (FCPXML)"],
  ["xml", "Premiere (XML)"],
  ["otio", "OpenTimelineIO"],
  ["m3u", "Playlist (M3U)"],
  ["vtt", "Chapters (WebVTT)"],
  ["csv", "Table (CSV)"],
];

export function showTray() {
  const tray = document.getElementById("tray");
  tray.hidden = !moments.length;
  document.body.classList.toggle("has-tray", !tray.hidden);
  if (tray.hidden) return tray.replaceChildren();
  const total = moments.reduce((sum, moment) => sum + moment.end_s - moment.start_s, 0);
  const forms = h("select", { id: "form", "aria-label": "Export as" }, FORMS.map(([value, text]) => h("option", { value, text })));
  forms.value = sessionStorage.getItem("form") ?? "clips";
  forms.addEventListener("change", () => sessionStorage.setItem("form", forms.value));
  const pad = h("input", { id: "pad", type: "number", min: "0", max: "60", step: "0.5", value: sessionStorage.getItem("pad") ?? "0", "aria-label": "Seconds more on both sides" });
  pad.addEventListener("change", () => sessionStorage.setItem("pad", pad.value));
  const button = h("button", { type: "button", class: "primary", id: "export", text: "Export" });
  button.addEventListener("click", () => run(button, forms.value, Number(pad.value) || 0));
  tray.replaceChildren(
    h("div", { class: "tray-what" }, h("strong", { text: plural(moments.length, "moment") }), h("span", { class: "soft", text: span(total) })),
    h(
      "ul",
      { class: "tray-list" },
      moments.map((moment) =>
        h(
          "li",
          {},
          h(
            "button",
            { type: "button", title: `${nameOf(moment.path)} ${clock(moment.start_s)}`, "aria-label": `Remove ${nameOf(moment.path)} at ${clock(moment.start_s)}`, onclick: () => toggle(moment) },
            h("img", { alt: "", src: picture(moment, 160), loading: "lazy" }),
            sign(SIGNS.close),
          ),
        ),
      ),
    ),
    h(
      "div",
      { class: "tray-do" },
      forms,
      h("label", { class: "pad" }, "± ", pad, " s"),
      button,
      h("button", { type: "button", class: "quiet", text: "Clear", onclick: () => ((moments = []), changed(), say("Nothing is selected.")) }),
    ),
  );
}

async function run(button, form, pad_s) {
  button.disabled = true;
  button.textContent = "Making…";
  try {
    const wanted = moments.map(({ video, start_s, end_s }) => ({ video, start_s, end_s }));
    const made = await post("exports", { form, pad_s, moments: wanted });
    const link = h("a", { href: `/api/exports/${made.export}`, download: made.name });
    document.body.append(link);
    link.click();
    link.remove();
    say(`${made.name} is ready.`);
  } catch (error) {
    say(error.message);
    const note = h("p", { class: "tray-note bad", role: "alert", text: error.message });
    document.querySelector(".tray-note")?.remove();
    document.getElementById("tray").append(note);
  } finally {
    button.disabled = false;
    button.textContent = "Export";
  }
}
