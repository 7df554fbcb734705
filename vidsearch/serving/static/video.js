// One video: the player, its timeline with the curve of the query, its moments, questions, and what is like it.

import { facts as factsOf, get } from "/static/api.js";
import { askPanel } from "/static/ask.js";
import { card, grid, similarTo } from "/static/card.js";
import { Curve } from "/static/curve.js";
import { SIGNS, breakable, bytes, clock, folderOf, h, level, nameOf, plural, readable, say, sign } from "/static/dom.js";
import { Player } from "/static/player.js";
import { isSelected, onSelection, toggle } from "/static/selection.js";

const WHOLE_S = 8; // a range that nobody set is as long as a usual window

export async function videoView(main, { address, query, number, leaving, go }) {
  const [video, library] = await Promise.all([factsOf(number, true), get("library", {}, leaving)]);
  const name = nameOf(video.path);
  document.title = `${name} - vidsearch`;
  const begin = video.start_s ?? 0;
  const end = video.end_s ?? begin; // of the pictures: sound may go on
  const from = seconds(address.searchParams.get("t"));
  const to = seconds(address.searchParams.get("end"));
  let range = [from ?? begin, to ?? (from ?? begin) + WHOLE_S];

  const screen = h("video", { id: "player", playsinline: true, preload: "metadata", "aria-label": name, tabindex: "-1" });
  const player = new Player(screen, number);
  const curve = new Curve(video);
  const ask = askPanel(number, () => range, seek, leaving);
  const moments = h("div", { id: "moments" });
  const similar = h("div", { id: "similar" });
  const controls = playerControls(player, screen, begin, end);
  const rangeRow = rangeControls();
  const stage = h("div", { class: "stage" }, screen, h("p", { class: "notice bad over-screen", hidden: true, role: "alert" }));
  main.append(
    h(
      "div",
      { class: "video-head" },
      query ? h("a", { class: "button quiet", href: `/?q=${encodeURIComponent(query)}` }, sign(SIGNS.back), "Results") : null,
      h("h1", { title: readable(video.path) }, breakable(name)),
    ),
    h(
      "div",
      { class: "video-page" },
      h("div", { class: "watch" }, stage, h("div", { class: "under-screen" }, curve.root, controls.root, rangeRow.root), moments),
      h("aside", { class: "beside", "aria-label": "About the range" }, ask.root, similar, about(video)),
    ),
  );
  if (video.state !== "indexed") {
    stage.lastChild.hidden = false;
    stage.lastChild.textContent = video.state === "offline" ? "Its folder is not there now; plug the disk in." : video.error;
  } else {
    if (video.width_px) screen.style.aspectRatio = `${video.width_px} / ${video.height_px}`;
    await player.open(Math.max(begin, Math.min(from ?? begin, end > begin ? end - 0.05 : Infinity))).catch((error) => failed(error.message));
    stage.classList.toggle("converted", !player.direct);
  }
  player.addEventListener("timeupdate", () => (curve.at(player.time), controls.refresh()));
  player.addEventListener("failed", () => failed("The browser cannot play this video, and it could not be converted."));
  for (const name of ["play", "pause", "volumechange"]) player.addEventListener(name, controls.refresh);
  screen.addEventListener("click", () => player.toggle());
  curve.addEventListener("seek", (event) => seek(event.detail));
  leaving.addEventListener("abort", () => player.close());
  document.addEventListener("keydown", keys, { signal: leaving });
  setRange(range);
  curve.at(player.time);
  controls.refresh();

  let stops = [];
  if (query) {
    const found = await get(`videos/${number}/curve`, { q: query }, leaving);
    curve.show(found, library.levels);
    curve.at(player.time);
    stops = found.moments.map((moment) => moment).sort((one, other) => one.start_s - other.start_s);
    moments.replaceChildren(
      h("h2", { class: "over" }, `“${query}” `, h("span", { class: "soft", text: stops.length ? plural(stops.length, "moment") : "no match here" })),
      h("ol", { class: "stops" }, stops.map(stop)),
    );
  } else moments.append(h("p", { class: "soft hint", text: "Search, and the curve shows where in this video the words match." }));

  function stop(moment) {
    return h(
      "li",
      {},
      h(
        "button",
        { type: "button", onclick: () => (seek(moment.start_s), setRange([moment.start_s, moment.end_s]), player.play()) },
        level(moment.level, moment.score),
        h("span", { text: `${clock(moment.start_s, true)} - ${clock(moment.end_s, true)}` }),
      ),
    );
  }

  function seek(time) {
    player.seek(time);
    curve.at(time);
  }

  function failed(text) {
    stage.lastChild.hidden = false;
    stage.lastChild.textContent = text;
  }

  function moment() {
    return { video: number, path: video.path, start_s: round(range[0]), end_s: round(range[1]) };
  }

  function setRange([first, last]) {
    const close = end > begin ? end : Infinity; // how long it is may not be known
    const start = Math.max(begin, Math.min(first, close - 0.1));
    range = [start, Math.min(close, last > start ? last : start + 1)];
    curve.select(range);
    rangeRow.refresh();
    ask.refresh();
  }

  async function showSimilar() {
    similar.replaceChildren(h("h2", { class: "over", text: "Similar" }), h("p", { class: "soft", text: "Looking…" }));
    try {
      const found = await get("similar", { video: number, start_s: round(range[0]), end_s: round(range[1]), top: 6 }, leaving);
      similar.replaceChildren(
        h("h2", { class: "over" }, "Similar ", h("a", { class: "soft", href: similarTo(moment()), text: "all of them" })),
        found.hits.length ? grid(found.hits.map((hit) => card(hit)), "Similar moments") : h("p", { class: "soft", text: "Nothing else is like it." }),
      );
      similar.scrollIntoView({ block: "nearest", behavior: "smooth" });
    } catch (error) {
      similar.replaceChildren(h("p", { class: "bad", role: "alert", text: error.message }));
    }
  }

  function rangeControls() {
    const text = h("output", { class: "range-text", "aria-label": "Range" });
    const pick = h("button", { type: "button", id: "select-range", onclick: () => toggle(moment()) });
    const root = h(
      "div",
      { class: "range-row", role: "group", "aria-label": "Range" },
      h("button", { type: "button", title: "Start here (I)", text: "In", onclick: () => setRange([player.time, Math.max(range[1], player.time + 1)]) }),
      text,
      h("button", { type: "button", title: "End here (O)", text: "Out", onclick: () => setRange([Math.min(range[0], player.time - 0.1), player.time]) }),
      h("span", { class: "push" }),
      h("button", { type: "button", id: "find-similar", onclick: showSimilar, title: "Similar moments (S)" }, sign(SIGNS.similar), "Similar"),
      pick,
    );
    const refresh = () => {
      text.textContent = `${clock(range[0], true)} - ${clock(range[1], true)}`;
      const picked = isSelected(moment());
      pick.replaceChildren(sign(picked ? SIGNS.check : SIGNS.add), picked ? "Selected" : "Select");
      pick.setAttribute("aria-pressed", String(picked));
    };
    onSelection(root, refresh);
    return { root, refresh };
  }

  function keys(event) {
    if (event.target.matches("input:not([type=checkbox]), textarea, select, .shot") || event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.target.matches("button, a") && (event.key === " " || event.key === "Enter")) return;
    const frame = 1 / (video.fps || 25);
    const jump = { ArrowLeft: -5, ArrowRight: 5, j: -10, l: 10, ",": -frame, ".": frame }[event.key];
    const act = {
      " ": () => player.toggle(),
      k: () => player.toggle(),
      i: () => setRange([player.time, Math.max(range[1], player.time + 1)]),
      o: () => setRange([Math.min(range[0], player.time - 0.1), player.time]),
      a: () => ask.focus(),
      x: () => toggle(moment()),
      s: showSimilar,
      m: () => (screen.muted = !screen.muted),
      f: () => controls.full(),
      n: () => nextStop(1),
      b: () => nextStop(-1),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (jump !== undefined) seek(player.time + jump);
    else if (act) act();
    else return;
    event.preventDefault();
  }

  function nextStop(direction) {
    const next = direction > 0 ? stops.find((one) => one.start_s > player.time + 0.2) : stops.findLast((one) => one.start_s < player.time - 0.7);
    if (!next) return say("No further moment.");
    seek(next.start_s);
    setRange([next.start_s, next.end_s]);
  }
}

function playerControls(player, screen, begin, end) {
  const play = h("button", { type: "button", class: "icon primary", id: "play", onclick: () => player.toggle() });
  const sound = h("button", { type: "button", class: "icon quiet", onclick: () => (screen.muted = !screen.muted) });
  const time = h("span", { class: "time", id: "time" });
  const speed = h("select", { "aria-label": "Speed", class: "quiet" }, ["0.25", "0.5", "1", "1.5", "2", "4"].map((value) => h("option", { value, text: `${value}×`, selected: value === "1" })));
  speed.addEventListener("change", () => (screen.playbackRate = screen.defaultPlaybackRate = Number(speed.value)));
  const full = () => (document.fullscreenElement ? document.exitFullscreen() : screen.requestFullscreen?.());
  const wide = h("button", { type: "button", class: "icon quiet", "aria-label": "Full screen", title: "Full screen (F)", onclick: full }, sign(SIGNS.full));
  const refresh = () => {
    play.replaceChildren(sign(screen.paused ? SIGNS.play : SIGNS.pause));
    play.setAttribute("aria-label", screen.paused ? "Play" : "Pause");
    sound.replaceChildren(sign(screen.muted ? SIGNS.mute : SIGNS.sound));
    sound.setAttribute("aria-label", screen.muted ? "Sound on" : "Sound off");
    time.textContent = `${clock(Math.min(player.time, Math.max(begin, end)) - begin, true)} / ${clock(end - begin)}`;
  };
  const note = h("span", { class: "soft note-converted", text: "converted on the fly" });
  return { root: h("div", { class: "player-row" }, play, time, note, h("span", { class: "push" }), speed, sound, wide), refresh, full };
}

function about(video) {
  const rows = [
    ["Folder", folderOf(video.path)],
    ["Picture", video.width_px ? `${video.width_px} × ${video.height_px}, ${video.fps ? `${Math.round(video.fps * 100) / 100} fps` : ""}` : "-"],
    ["Length", clock(video.duration_s ?? 0, true)],
    ["File", `${video.codec ?? "?"} in ${video.container ?? "?"}, ${bytes(video.size_bytes)}`],
    ["Changed", new Date(video.modified_s * 1000).toLocaleString()],
  ];
  if (video.error) rows.push(["Note", readable(video.error)]);
  return h("section", { class: "panel" }, h("h2", { text: "About" }), h("dl", { class: "about-list" }, rows.map(([term, text]) => [h("dt", { text: term }), h("dd", { text })])));
}

/** A time of the address; null where there is none. */
function seconds(text) {
  return text !== null && Number.isFinite(Number(text)) ? Number(text) : null;
}

function round(seconds) {
  return Math.round(seconds * 1000) / 1000;
}
