// Filters as controls. They write into the query what a person would write there: since:2025-07 under:/videos/2025.

import { get } from "/static/api.js";
import { h, readable } from "/static/dom.js";

const KEYS = ["under", "since", "until", "min-duration", "max-duration", "min-height", "name"];

/** The value of a filter in a query; "" where it has none. */
export function filterIn(query, key) {
  const found = query.match(piece(key));
  if (!found) return "";
  const value = found[2];
  return value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
}

/** The query with another value of a filter, or without it. */
export function withFilter(query, key, value) {
  const bare = query.replace(piece(key), "").trim();
  if (!value) return bare;
  const written = /[\s"]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value;
  return `${bare} ${key}:${written}`;
}

function piece(key) {
  return new RegExp(`(^|\\s+)${key}:("(?:[^"\\\\]|\\\\.)*"|\\S+)`);
}

/** `search` is called with the query as it is with a changed filter. */
export function filterPanel(query, search) {
  const count = KEYS.filter((key) => filterIn(query, key)).length;
  const field = (key, label, control) => {
    control.id = `filter-${key}`;
    if (control.tagName !== "SELECT") control.value = filterIn(query, key);
    control.addEventListener("change", () => search(withFilter(query, key, control.value)));
    return h("div", { class: "field" }, h("label", { for: control.id, text: label }), control);
  };
  const folders = h("select", {}, h("option", { value: "", text: "all" }));
  const panel = h(
    "details",
    { class: "filters" },
    h("summary", {}, "Filters", count ? h("span", { class: "tag", text: String(count) }) : null),
    h(
      "div",
      { class: "filter-fields" },
      field("under", "Folder", folders),
      field("since", "Filmed since", h("input", { type: "date" })),
      field("until", "Filmed until", h("input", { type: "date" })),
      field("min-duration", "Video at least, s", h("input", { type: "number", min: "0", inputmode: "decimal" })),
      field("max-duration", "Video at most, s", h("input", { type: "number", min: "0", inputmode: "decimal" })),
      field("min-height", "Picture rows", choices([["", "any"], ["720", "720 or more"], ["1080", "1080 or more"], ["2160", "2160 or more"]], filterIn(query, "min-height"))),
      field("name", "File name", h("input", { type: "text", placeholder: "IMG_*", spellcheck: "false" })),
    ),
  );
  panel.open = sessionStorage.getItem("filters") === "open";
  panel.addEventListener("toggle", () => sessionStorage.setItem("filters", panel.open ? "open" : ""));
  fill(folders, filterIn(query, "under"));
  return panel;
}

function choices(rows, chosen) {
  return h("select", {}, rows.map(([value, text]) => h("option", { value, text, selected: value === chosen })));
}

async function fill(folders, chosen) {
  const { roots } = await get("library");
  const paths = roots.map((root) => root.path);
  if (chosen && !paths.includes(chosen)) paths.push(chosen);
  folders.append(...paths.map((path) => h("option", { value: path, text: readable(path), selected: path === chosen })));
}
