// Elements made from data. Names and answers are other people's text: they only ever become text nodes.

/** An element with properties, attributes (`class`, `aria-…`, `data-…`), listeners (`on…`) and children. */
export function h(tag, props = {}, ...children) {
  const svg = SVG.has(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = new Set(["svg", "path", "rect", "line", "circle", "g"]);

/** A drawn sign of 24 × 24; decoration, so a button that holds it needs a name of its own. */
export function sign(path) {
  return h("svg", { viewBox: "0 0 24 24", class: "sign", "aria-hidden": "true" }, h("path", { d: path }));
}

export const SIGNS = {
  play: "M8 5.500v13l11-6.500z",
  pause: "M8 5v14M16 5v14",
  sound: "M4 10v4h4l5 4V6L8 10zM16.500 9a4.500 4.500 0 0 1 0 6M19 6.500a8 8 0 0 1 0 11",
  mute: "M4 10v4h4l5 4V6L8 10zM17 10l4 4M21 10l-4 4",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  like: "M12 20s-7.500-4.600-7.500-10A4.300 4.300 0 0 1 12 7.200 4.300 4.300 0 0 1 19.500 10c0 5.400-7.500 10-7.500 10z",
  similar: "M4 4h10v10H4zM10 10h10v10H10z",
  add: "M12 5v14M5 12h14",
  check: "M5 12.500l4.500 4.500L19 7.500",
  close: "M6 6l12 12M18 6 6 18",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
  moon: "M20 14.500A8.500 8.500 0 1 1 9.500 4a7 7 0 0 0 10.500 10.500z",
  auto: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  back: "M15 5l-7 7 7 7",
};

/** A name as people can read it: bytes that are not UTF-8 as \xe9, control characters as their pictures. */
export function readable(name) {
  return name
    .replace(/(?<![\ud800-\udbff])[\udc80-\udcff]/g, (char) => `\\x${(char.charCodeAt(0) - 0xdc00).toString(16)}`)
    .replace(/[\u0000-\u001f]/g, (char) => String.fromCharCode(0x2400 + char.charCodeAt(0)))
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, "");
}

/** The last part of a path, and the folder before it. */
export function nameOf(path) {
  return readable(path.slice(path.lastIndexOf("/") + 1));
}
/** A name that may be broken behind its separators, before it is broken anywhere. */
export function breakable(name) {
  return name.split(/(?<=[_\-. ])(?=[^_\-. ])/).flatMap((part, place) => (place ? [h("wbr"), part] : [part]));
}
export function folderOf(path) {
  return readable(path.slice(0, path.lastIndexOf("/")) || "/");
}

/** 1:02:03 or 2:03; with tenths where a moment needs them. */
export function clock(seconds, tenths = false) {
  if (seconds <= -0.05) return `-${clock(-seconds, tenths)}`;
  const total = tenths ? Math.round(seconds * 10) / 10 : Math.floor(Math.max(seconds, 0) + 1e-6);
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor(total / 60) % 60;
  const rest = total % 60;
  const tail = tenths ? rest.toFixed(1).padStart(4, "0") : String(Math.floor(rest)).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** 3 h 20 min, 12 min, 40 s. */
export function span(seconds) {
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  if (seconds >= 60) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} s`;
}

export function bytes(size) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let place = 0;
  while (size >= 1000 && place < units.length - 1) [size, place] = [size / 1000, place + 1];
  return `${place ? size.toFixed(1) : size} ${units[place]}`;
}

export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** The three bars of a level, and its word for who cannot see them. */
export function level(name, score) {
  const word = name ? `${name} match` : `score ${score.toFixed(2)}`;
  if (!name) return h("span", { class: "score", text: score.toFixed(2) });
  return h(
    "span",
    { class: "level-line", title: `${word}, score ${score.toFixed(3)}` },
    h("span", { class: `level level-${name}`, "aria-hidden": "true" }, h("i"), h("i"), h("i")),
    h("span", { class: "level-word", text: name === "none" ? "weak" : name }),
  );
}

/** Says something to who hears the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
