// The search: words in, pictures out; without words, what was filmed last.

import { get, picture } from "/static/api.js";
import { addressOf, card, grid } from "/static/card.js";
import { filterPanel } from "/static/filters.js";
import { bytes, clock, folderOf, h, nameOf, plural, readable, say, span } from "/static/dom.js";

const PAGE = 24;
const MOST = 500; // hits that the server gives

export async function searchView(main, { address, query, leaving, go }) {
  const like = address.searchParams.get("like");
  if (like) return similarView(main, like, leaving);
  if (!query) return startView(main, leaving);
  document.title = `${query} - vidsearch`;
  const fields = address.searchParams;
  const top = Math.min(MOST, Number(fields.get("top")) || PAGE);
  const grouped = fields.get("group") === "video";
  const set = (name, value) => {
    const next = new URL(location.href);
    if (value) next.searchParams.set(name, value);
    else next.searchParams.delete(name);
    go(`${next.pathname}${next.search}`, { replace: true });
  };
  const bar = controls(fields, set);
  bar.append(filterPanel(query, (text) => {
    const next = new URL(location.href);
    next.searchParams.set("q", text);
    go(`${next.pathname}${next.search}`);
  }));
  const results = h("div", { "aria-busy": "true" }, skeleton());
  main.append(h("h1", { class: "unseen", text: `Moments that match ${query}` }), bar, results);
  const all = fields.get("all") === "true";
  const asked = { q: query, top, all: all || undefined, group: grouped ? "video" : undefined };
  asked.per_video = grouped ? 8 : fields.get("per_video");
  asked.sort = fields.get("sort");
  const found = await get("search", asked, leaving).catch((error) => {
    results.replaceChildren(h("p", { class: "notice bad", role: "alert", text: error.message }));
    say(error.message);
  });
  if (!found) return;
  results.removeAttribute("aria-busy");
  results.replaceChildren(...notes(found, query, set, all));
  if (!found.hits.length) return;
  results.append(grouped ? groups(found.hits, query) : grid(found.hits.map((hit) => card(hit, { query })), "Moments"));
  const count = grouped ? new Set(found.hits.map((hit) => hit.video)).size : found.hits.length;
  if (count >= MOST) results.append(h("p", { class: "on soft", text: `These are the first ${MOST}; filters or more words find others.` }));
  else if (count >= top) {
    results.append(h("p", { class: "on" }, h("button", { type: "button", text: "Show more", onclick: () => set("top", top + PAGE) })));
  }
}

function controls(fields, set) {
  const choice = (id, label, options, value, change) =>
    h(
      "label",
      { class: "choice" },
      h("span", { text: label }),
      h("select", { id, onchange: (event) => change(event.target.value) }, options.map(([key, text]) => h("option", { value: key, text, selected: key === value }))),
    );
  const box = (id, label, checked, change) =>
    h("label", { class: "tick" }, h("input", { id, type: "checkbox", checked, onchange: (event) => change(event.target.checked) }), h("span", { text: label }));
  return h(
    "div",
    { class: "controls", role: "group", "aria-label": "What to show" },
    h("p", { class: "found", id: "found" }),
    box("group", "One line a video", fields.get("group") === "video", (on) => set("group", on ? "video" : "")),
    box("all", "Weak matches too", fields.get("all") === "true", (on) => set("all", on ? "true" : "")),
    fields.get("group") === "video"
      ? null
      : choice("sort", "Order", [["score", "best first"], ["date", "newest first"], ["name", "by name"]], fields.get("sort") || "score", (value) => set("sort", value === "score" ? "" : value)),
    fields.get("group") === "video"
      ? null
      : choice("per-video", "Of one video", [["1", "the best"], ["3", "up to 3"], ["10", "up to 10"], ["100", "all"]], fields.get("per_video") || "3", (value) => set("per_video", value === "3" ? "" : value)),
  );
}

function notes(found, query, set, all) {
  const line = document.getElementById("found");
  const videos = new Set(found.hits.map((hit) => hit.video)).size;
  const counted = found.hits.length ? `${plural(found.hits.length, "moment")} in ${plural(videos, "video")}` : "No match";
  line.textContent = counted;
  say(counted);
  const left = [];
  if (found.unknown_words.length) {
    left.push(h("p", { class: "notice", text: `${found.model} does not know: ${found.unknown_words.join(", ")}.` }));
  }
  if (!found.hits.length) {
    left.push(
      h(
        "div",
        { class: "empty" },
        h("h2", { text: `Nothing matches “${query}”` }),
        h("p", { text: found.left_out ? `${plural(found.left_out, "weaker moment")} ${found.left_out === 1 ? "is" : "are"} not shown.` : "Say what can be seen: things, people, places, what they do." }),
        found.left_out ? h("button", { type: "button", class: "primary", text: "Show them", onclick: () => set("all", "true") }) : null,
      ),
    );
  } else if (found.left_out && !all) {
    left.push(
      h("p", { class: "left" }, `${plural(found.left_out, "weaker moment")} not shown. `, h("button", { type: "button", class: "link", text: "Show", onclick: () => set("all", "true") })),
    );
  }
  return left;
}

function groups(hits, query) {
  const byVideo = new Map();
  for (const hit of hits) byVideo.set(hit.video, [...(byVideo.get(hit.video) ?? []), hit]);
  return h(
    "div",
    { class: "groups" },
    [...byVideo.values()].map((moments) => {
      const [first] = moments;
      return h(
        "section",
        { class: "group" },
        h(
          "h2",
          {},
          h("a", { href: addressOf({ video: first.video }, query), text: nameOf(first.path), title: readable(first.path) }),
          h("span", { class: "soft", text: ` ${plural(moments.length, "moment")} of ${span(first.video_duration_s ?? 0)}` }),
        ),
        strip(moments, first),
        grid(moments.map((moment) => card(moment, { query })), `Moments of ${nameOf(first.path)}`),
      );
    }),
  );
}

/** Where in its video the moments of a group lie; decoration, the pictures below say the same. */
function strip(moments, { video_start_s: start, video_end_s: end }) {
  const length = end - start;
  if (!(length > 0)) return null;
  const svg = h("svg", { class: "where", viewBox: "0 0 1000 8", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const moment of moments) {
    const left = ((moment.start_s - start) / length) * 1000;
    svg.append(h("rect", { x: left, y: 0, width: Math.max(4, ((moment.end_s - moment.start_s) / length) * 1000), height: 8, class: `at-${moment.level ?? "low"}` }));
  }
  return svg;
}

async function similarView(main, like, leaving) {
  const [video, range] = like.split("@");
  const [, start_s, end_s] = /^(-?[\d.]+)-(-?[\d.]+)$/.exec(range ?? "")?.map(Number) ?? [];
  document.title = "Similar moments - vidsearch";
  const found = await get("similar", { video, start_s, end_s, top: PAGE }, leaving);
  const source = { video: Number(video), start_s, end_s };
  main.append(
    h(
      "div",
      { class: "controls like" },
      h("a", { class: "shot small", href: addressOf(source), "aria-label": "The moment that the others are like" }, h("img", { alt: "", src: picture(source, 160) })),
      h("h1", { text: "Similar moments" }),
      h("p", { class: "found", text: `to ${clock(start_s)}-${clock(end_s)} of ${nameOf(found.path)}` }),
    ),
    found.hits.length ? grid(found.hits.map((hit) => card(hit)), "Similar moments") : h("p", { class: "empty", text: "Nothing else is like it." }),
  );
  say(plural(found.hits.length, "similar moment"));
}

async function startView(main, leaving) {
  document.title = "vidsearch";
  const [library, latest] = await Promise.all([get("library", {}, leaving), get("videos", { limit: PAGE, state: "indexed" }, leaving)]);
  const { indexed } = library.videos;
  main.append(
    h(
      "div",
      { class: "start" },
      h("h1", { text: "Look for what happens in your videos" }),
      h("p", { class: "soft", text: `${plural(indexed, "video")}, ${span(library.duration_s)}, searched on this machine with ${library.model}.` }),
    ),
  );
  if (!latest.videos.length) {
    main.append(h("p", { class: "empty" }, "Nothing is indexed yet: run ", h("code", { text: "vidsearch index FOLDER" }), "."));
    return;
  }
  main.append(h("h2", { class: "over", text: "Filmed last" }), grid(latest.videos.map(videoCard), "Videos, latest first"));
}

/** A whole video as a picture. */
export function videoCard(video) {
  const start = video.start_s ?? 0;
  const early = start + ((video.end_s ?? start) - start) / 3;
  const image = h("img", { alt: "", loading: "lazy", decoding: "async", src: picture({ video: video.video, start_s: early }) });
  image.addEventListener("error", () => image.replaceWith(h("span", { class: "missing", "data-why": "no picture" })));
  if (video.width_px && video.width_px / video.height_px > 1.5) image.classList.add("fills");
  return h(
    "li",
    { class: "card" },
    h(
      "a",
      { class: "shot", href: `/video/${video.video}`, "aria-label": `${nameOf(video.path)}, ${clock(video.duration_s ?? 0)}` },
      image,
      h("span", { class: "when", text: clock(video.duration_s ?? 0) }),
    ),
    h(
      "div",
      { class: "caption" },
      h("div", { class: "name", text: nameOf(video.path), title: readable(video.path) }),
      h("div", { class: "facts" }, h("span", { class: "folder", text: folderOf(video.path).split("/").pop() }), h("span", { text: `${video.width_px} × ${video.height_px}, ${bytes(video.size_bytes)}` })),
    ),
  );
}

function skeleton() {
  return h("div", { class: "grid ghost", "aria-hidden": "true" }, Array.from({ length: 8 }, () => h("div", { class: "card" }, h("div", { class: "shot" }))));
}
