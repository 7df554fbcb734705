// What is indexed, what could not be, and the run of indexing as it goes.

import { events, get, post } from "/static/api.js";
import { bytes, clock, h, nameOf, plural, readable, say, span } from "/static/dom.js";
import { videoCard } from "/static/search.js";
import { grid } from "/static/card.js";

const PAGE = 60;

export async function libraryView(main, { address, leaving, go }) {
  document.title = "Library - vidsearch";
  const offset = Number(address.searchParams.get("from")) || 0;
  const [library, run, failed, page] = await Promise.all([
    get("library", {}, leaving),
    get("indexing", {}, leaving),
    get("videos", { state: "failed", limit: 100 }, leaving),
    get("videos", { state: "indexed", limit: PAGE, offset }, leaving),
  ]);
  const { videos } = library;
  main.append(
    h("h1", { text: "Library" }),
    h(
      "dl",
      { class: "figures" },
      figure(videos.indexed.toLocaleString("en"), videos.indexed === 1 ? "video" : "videos"),
      figure(span(library.duration_s), "of footage"),
      figure(library.models.reduce((sum, model) => sum + model.windows, 0).toLocaleString("en"), "windows"),
      figure(bytes(library.database_bytes + library.index_bytes), "on disk"),
    ),
    h(
      "div",
      { class: "two" },
      h(
        "section",
        { class: "panel" },
        h("h2", { text: "Folders" }),
        h("ul", { class: "plain" }, library.roots.map((root) => h("li", {}, h("span", { class: "path", text: readable(root.path) }), root.offline ? h("span", { class: "tag bad", text: "offline" }) : null))),
        h("p", { class: "soft fine" }, "A new folder is added in the shell: ", h("code", { text: "vidsearch index FOLDER" })),
        h("h2", { text: "Models" }),
        h("ul", { class: "plain" }, library.models.map((model) => h("li", {}, h("span", { text: model.name }), h("span", { class: "soft", text: ` ${plural(model.videos, "video")}` }), model.name === library.model ? h("span", { class: "tag", text: "searches here" }) : null))),
      ),
      runPanel(run, leaving, () => go("/library", { replace: true })),
    ),
    failures(failed),
    h("h2", { class: "over", text: "Videos" }),
    grid(page.videos.map(videoCard), "Videos, latest first"),
    pages(page.total, offset),
  );
}

function figure(number, what) {
  return h("div", {}, h("dt", { text: what }), h("dd", { text: number }));
}

function runPanel(run, leaving, again) {
  const bar = h("progress", { max: "1", value: "0", "aria-label": "Indexing" });
  const line = h("p", { class: "run-line", id: "run" });
  const now = h("ul", { class: "plain now" });
  const retry = h("input", { type: "checkbox", id: "retry" });
  const start = h("button", { type: "button", class: "primary", id: "start-run", text: "Look for changes now", onclick: begin });
  const stop = h("button", { type: "button", text: "Stop", onclick: () => post("indexing/stop", {}).catch((error) => (line.textContent = error.message)) });
  const panel = h(
    "section",
    { class: "panel" },
    h("h2", { text: "Indexing" }),
    line,
    bar,
    now,
    h("div", { class: "row" }, h("label", { class: "tick" }, retry, h("span", { text: "Try failed ones again" })), h("span", { class: "push" }), stop, start),
    h("p", { class: "soft fine", text: "New and changed files are indexed, deleted ones leave. Searching goes on meanwhile." }),
  );
  show(run);
  if (run.state === "running") watch();
  return panel;

  async function begin() {
    try {
      show(await post("indexing/start", { retry_failed: retry.checked }));
    } catch (error) {
      line.textContent = error.message;
      return;
    }
    await watch();
  }

  async function watch() {
    try {
      for await (const event of events("indexing/events", undefined, leaving)) show(event);
      if (!leaving.aborted) again();
    } catch (error) {
      if (error.name === "AbortError") return;
      show({ ...run, state: "failed", error: error.message, current: [] });
    }
  }

  function show(form) {
    const running = form.state === "running";
    start.hidden = running;
    stop.hidden = !running;
    bar.hidden = !running;
    if (running && form.files) {
      const part = form.current.reduce((sum, file) => sum + file.done / Math.max(1, file.windows), 0);
      bar.value = Math.min(1, (form.done + part) / form.files);
    } else bar.removeAttribute("value");
    const took = Math.max(0.001, (form.ended_s ?? Date.now() / 1000) - form.started_s);
    const speed = form.seconds ? `, ${(form.seconds / took).toFixed(1)} s of video a second` : "";
    line.textContent = {
      none: "No run since the server started.",
      running: form.files ? `${form.done} of ${plural(form.files, "video")}${speed}` : "Looking for changes…",
      done: form.files ? `${plural(form.indexed, "video")} indexed in ${span(took)}${form.failures.length ? `, ${form.failures.length} failed` : ""}.` : `Nothing new; ${plural(form.unchanged, "video")} unchanged.`,
      stopped: `Stopped; ${plural(form.indexed, "video")} indexed.`,
      failed: form.error,
    }[form.state];
    now.replaceChildren(...form.current.map((file) => h("li", {}, h("span", { class: "path", text: nameOf(file.path) }), h("span", { class: "soft", text: ` ${file.done} of ${file.windows}` }))));
    if (!running && form.state !== "none") say(line.textContent);
  }
}

function failures(failed) {
  if (!failed.total) return null ?? "";
  return h(
    "details",
    { class: "panel" },
    h("summary", {}, h("h2", { text: `${plural(failed.total, "file")} could not be read` })),
    h("ul", { class: "plain" }, failed.videos.map((video) => h("li", {}, h("span", { class: "path", text: readable(video.path) }), h("span", { class: "soft", text: ` ${readable(video.error ?? "")}` })))),
  );
}

function pages(total, offset) {
  const link = (from, text) => h("a", { class: "button", href: `/library?from=${from}`, text });
  return h("nav", { class: "on", "aria-label": "More videos" }, offset > 0 ? link(Math.max(0, offset - PAGE), "Newer") : null, offset + PAGE < total ? link(offset + PAGE, "Older") : null);
}
