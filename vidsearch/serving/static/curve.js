// The timeline of a video: how well it matches over its time, as a curve that is also the slider of the player.

import { picture } from "/static/api.js";
import { clock, h } from "/static/dom.js";

const WIDTH = 1000;
const HEIGHT = 100;

export class Curve extends EventTarget {
  /** `facts`: of the video. The element is `root`; it sends `seek` with `detail` the time. */
  constructor(facts) {
    super();
    this.number = facts.video;
    this.start = facts.start_s ?? 0;
    this.length = Math.max(0.1, (facts.end_s ?? this.start) - this.start); // of the pictures
    this.points = [];
    this.range = null;
    this.svg = h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.head = h("span", { class: "head" });
    this.tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" }, h("img", { alt: "" }), h("span"));
    this.root = h(
      "div",
      { class: "curve", id: "curve", role: "slider", tabindex: "0", "aria-label": "Position", "aria-valuemin": "0", "aria-valuemax": Math.round(this.length) },
      this.svg,
      this.head,
      this.tip,
    );
    this.root.addEventListener("pointerdown", (event) => this.drag(event));
    this.root.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.point(event));
    this.root.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.root.addEventListener("keydown", (event) => {
      const to = { Home: this.start, End: this.start + this.length - 0.1, PageUp: this.time + 30, PageDown: this.time - 30 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.send(to);
    });
    this.time = this.start;
    this.draw();
  }

  /** The answer of /curve, and the scores of the model's levels. */
  show(curve, levels) {
    this.levels = levels;
    this.moments = curve.moments;
    this.points = curve.windows.map((window) => ({ time: (window.start_s + window.end_s) / 2, ...window }));
    this.draw();
  }

  at(time) {
    this.time = time;
    const share = Math.min(1, Math.max(0, (time - this.start) / this.length));
    this.head.style.left = `${share * 100}%`;
    this.root.setAttribute("aria-valuenow", String(Math.round(time - this.start)));
    const score = this.scoreAt(time);
    this.root.setAttribute("aria-valuetext", `${clock(time - this.start)} of ${clock(this.length)}${score === null ? "" : `, score ${score.toFixed(2)}`}`);
  }

  select(range) {
    this.range = range;
    this.draw();
  }

  scoreAt(time) {
    const over = this.points.filter((point) => point.start_s <= time && time <= point.end_s);
    return over.length ? Math.max(...over.map((point) => point.score)) : null;
  }

  draw() {
    const scores = this.points.map((point) => point.score);
    const low = Math.min(0, ...scores);
    const high = Math.max(0.05, ...scores, this.levels ? this.levels.high * 1.08 : 0);
    const x = (time) => (((time - this.start) / this.length) * WIDTH).toFixed(1);
    const y = (score) => (HEIGHT - 6 - ((score - low) / (high - low)) * (HEIGHT - 16)).toFixed(1);
    const shapes = [];
    if (this.range) {
      shapes.push(h("rect", { class: "range", x: x(this.range[0]), y: 0, width: Math.max(2, x(this.range[1]) - x(this.range[0])), height: HEIGHT }));
    }
    for (const moment of this.moments ?? []) {
      shapes.push(h("rect", { class: `band at-${moment.level ?? "low"}`, x: x(moment.start_s), y: HEIGHT - 5, width: Math.max(3, x(moment.end_s) - x(moment.start_s)), height: 5 }));
    }
    if (this.levels) shapes.push(h("line", { class: "threshold", x1: 0, x2: WIDTH, y1: y(this.levels.low), y2: y(this.levels.low) }));
    if (this.points.length) {
      const first = this.points[0];
      const last = this.points[this.points.length - 1];
      const places = [[x(first.start_s), y(first.score)], ...this.points.map((point) => [x(point.time), y(point.score)]), [x(last.end_s), y(last.score)]];
      const line = smooth(places);
      shapes.push(h("path", { class: "area", d: `${line}L${places.at(-1)[0]} ${HEIGHT}L${places[0][0]} ${HEIGHT}Z` }));
      shapes.push(h("path", { class: "line", d: line }));
    }
    this.svg.replaceChildren(...shapes);
  }

  timeAt(event) {
    const box = this.root.getBoundingClientRect();
    return this.start + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.length;
  }

  drag(event) {
    if (event.button !== 0) return;
    this.root.setPointerCapture(event.pointerId);
    this.send(this.timeAt(event));
    const move = (moved) => this.send(this.timeAt(moved));
    this.root.addEventListener("pointermove", move);
    this.root.addEventListener("pointerup", () => this.root.removeEventListener("pointermove", move), { once: true });
  }

  send(time) {
    this.dispatchEvent(new CustomEvent("seek", { detail: time }));
  }

  point(event) {
    const time = this.timeAt(event);
    const [image, text] = this.tip.children;
    const score = this.scoreAt(time);
    text.textContent = score === null ? clock(time, true) : `${clock(time, true)} · ${score.toFixed(2)}`;
    const step = Math.max(1, this.length / 60); // few pictures, so that moving along does not decode the whole video
    const source = picture({ video: this.number, start_s: this.start + Math.round((time - this.start) / step) * step }, 160);
    clearTimeout(this.soon);
    this.soon = setTimeout(() => image.getAttribute("src") !== source && (image.src = source), 90);
    this.tip.hidden = false;
    this.tip.style.left = `${((time - this.start) / this.length) * 100}%`;
  }
}

/** A line through the places that does not swing over them (monotone cubic: horizontal at every turn). */
function smooth(places) {
  let path = `M${places[0][0]} ${places[0][1]}`;
  for (let here = 1; here < places.length; here += 1) {
    const [x0, y0] = places[here - 1].map(Number);
    const [x1, y1] = places[here].map(Number);
    const middle = (x0 + x1) / 2;
    path += `C${middle} ${y0} ${middle} ${y1} ${x1} ${y1}`;
  }
  return path;
}
