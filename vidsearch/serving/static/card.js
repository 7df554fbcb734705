// A moment as a picture in a list, and the keys that go through such a list.

import { picture } from "/static/api.js";
import { SIGNS, breakable, clock, folderOf, h, level, nameOf, readable, sign, span } from "/static/dom.js";
import { isPreviewing, startPreview, stopPreview } from "/static/preview.js";
import { isSelected, onSelection, toggle } from "/static/selection.js";

const HOVER_MS = 220; // a pointer that only passes starts nothing

export function addressOf(moment, query = "") {
  const fields = new URLSearchParams();
  if (moment.start_s !== undefined) fields.set("t", moment.start_s);
  if (moment.end_s !== undefined) fields.set("end", moment.end_s);
  if (query) fields.set("q", query);
  return `/video/${moment.video}?${fields}`;
}

/** `query`: kept in the address of the video. `more`: how many other moments of the video are not shown. */
export function card(moment, { query = "", more = 0, onmore = null } = {}) {
  const name = nameOf(moment.path);
  const length = moment.end_s - moment.start_s;
  const when = `${clock(moment.start_s)} · ${span(length)}`;
  const spoken = `${name}, ${when}${moment.level ? `, ${moment.level} match` : ""}`;
  const image = h("img", { alt: "", loading: "lazy", decoding: "async", src: picture(moment) });
  const shot = h(
    "a",
    { class: "shot", href: addressOf(moment, query), "aria-label": moment.offline ? `${spoken}, offline` : spoken },
    image,
    h("span", { class: "when", text: when }),
  );
  image.addEventListener("error", () => image.replaceWith(h("span", { class: "missing", "data-why": moment.offline ? "offline" : "no picture" })));
  if (moment.width_px && moment.width_px / moment.height_px > 1.5) image.classList.add("fills");
  const box = h("input", { type: "checkbox", "aria-label": `Select ${spoken}`, onchange: () => toggle(moment) });
  const item = h(
    "li",
    { class: "card" },
    shot,
    h("label", { class: "pick", title: "Select (X)" }, box),
    h(
      "div",
      { class: "caption" },
      h("div", { class: "name" }, h("a", { href: `/video/${moment.video}${query ? `?q=${encodeURIComponent(query)}` : ""}`, title: readable(moment.path), tabindex: "-1" }, breakable(name))),
      h(
        "div",
        { class: "facts" },
        level(moment.level, moment.score),
        moment.offline ? h("span", { class: "tag bad", text: "offline" }) : null,
        h("span", { class: "folder", text: folderOf(moment.path).split("/").pop() }),
        h("a", { class: "similar", href: similarTo(moment), title: "Similar moments (S)", "aria-label": `Moments similar to ${spoken}`, tabindex: "-1" }, sign(SIGNS.similar)),
      ),
      more ? h("button", { type: "button", class: "link more", text: `${more} more in this video`, onclick: onmore }) : null,
    ),
  );
  const refresh = () => {
    box.checked = isSelected(moment);
    item.classList.toggle("picked", box.checked);
  };
  onSelection(item, refresh);
  refresh();
  let waiting = 0;
  shot.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") waiting = setTimeout(() => startPreview(shot, moment), HOVER_MS);
  });
  shot.addEventListener("pointerleave", () => (clearTimeout(waiting), stopPreview(shot)));
  shot.addEventListener("blur", () => stopPreview(shot));
  shot.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === "p" || key === " ") (isPreviewing(shot) ? stopPreview : startPreview)(shot, moment);
    else if (key === "x") toggle(moment);
    else if (key === "s") item.querySelector(".similar").click();
    else return;
    event.preventDefault();
  });
  return item;
}

export function similarTo(moment) {
  return `/?like=${moment.video}@${moment.start_s.toFixed(3)}-${moment.end_s.toFixed(3)}`;
}

/** A list of cards in which the arrow keys go from picture to picture. */
export function grid(items, name) {
  const list = h("ol", { class: "grid", "aria-label": name }, items);
  list.addEventListener("keydown", (event) => {
    if (!event.target.matches(".shot") || event.metaKey || event.ctrlKey || event.altKey) return;
    const shots = [...list.querySelectorAll(".shot")];
    const here = shots.indexOf(event.target);
    const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    const next = event.key === "Home" ? 0 : event.key === "End" ? shots.length - 1 : step === undefined ? -1 : here + step;
    if (next < 0 || next >= shots.length) return;
    event.preventDefault();
    shots[next].focus();
    shots[next].scrollIntoView({ block: "nearest" });
  });
  return list;
}
