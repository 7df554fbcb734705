// What the page shows follows from its address: / is the search, /video/7 a video, /library what is indexed.

import { SIGNS, h, say, sign } from "/static/dom.js";
import { showKeys } from "/static/keys.js";
import { libraryView } from "/static/library.js";
import { stopPreview } from "/static/preview.js";
import { searchView } from "/static/search.js";
import { showTray } from "/static/selection.js";
import { videoView } from "/static/video.js";

const main = document.getElementById("main");
const words = document.getElementById("words");
let leave = () => {};
let shown = ""; // the address without its fragment
let scrolled = 0; // a timer
history.scrollRestoration = "manual"; // a view is there later than the browser would scroll

/** Goes to an address of this page without loading it again. */
export function go(address, { replace = false } = {}) {
  keepPlace();
  history[replace ? "replaceState" : "pushState"]({}, "", address);
  show();
}

/** Writes down how far the page is scrolled, for who comes back to it. */
function keepPlace() {
  clearTimeout(scrolled);
  history.replaceState({ scroll_px: window.scrollY }, "");
}

async function show() {
  leave();
  stopPreview();
  clearTimeout(scrolled);
  const address = new URL(location.href);
  const { scroll_px = 0 } = history.state ?? {};
  shown = `${address.pathname}${address.search}`;
  const [, kind, number] = address.pathname.split("/");
  const query = address.searchParams.get("q") ?? "";
  words.value = query;
  const view = kind === "video" ? videoView : kind === "library" ? libraryView : searchView;
  document.getElementById("to-library").toggleAttribute("aria-current", kind === "library");
  main.replaceChildren();
  const leaving = new AbortController();
  leave = () => leaving.abort();
  try {
    await view(main, { address, query, number: Number(number), leaving: leaving.signal, go });
    if (scroll_px && !leaving.signal.aborted) window.scrollTo(0, scroll_px);
  } catch (error) {
    if (error.name === "AbortError" || leaving.signal.aborted) return;
    main.replaceChildren(h("p", { class: "notice bad", role: "alert", text: error.message }));
    say(error.message);
  }
}

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = words.value.trim();
  const address = new URL("/", location.origin);
  const kept = new URL(location.href);
  if (kept.pathname === "/") for (const [name, value] of kept.searchParams) address.searchParams.set(name, value);
  address.searchParams.delete("like");
  if (text) address.searchParams.set("q", text);
  else address.searchParams.delete("q");
  words.blur();
  go(`${address.pathname}${address.search}`);
});

// Links within the page load nothing anew.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/']");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.hasAttribute("download") || event.defaultPrevented) return;
  event.preventDefault();
  go(link.getAttribute("href"));
  if (!link.classList.contains("skip")) window.scrollTo(0, 0);
});
window.addEventListener("popstate", () => {
  if (shown !== `${location.pathname}${location.search}`) show(); // else only the fragment is another
});
window.addEventListener("scroll", () => {
  clearTimeout(scrolled);
  scrolled = setTimeout(keepPlace, 100);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox]), textarea, select");
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing || event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "/") {
    event.preventDefault();
    words.focus();
    words.select();
  } else if (event.key === "?") showKeys();
});
document.getElementById("keys").addEventListener("click", showKeys);

const THEMES = ["auto", "light", "dark"];
const theme = document.getElementById("theme");
function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
  theme.dataset.name = name;
  theme.setAttribute("aria-label", `Colours: ${name}`);
  theme.title = `Colours: ${name}`;
  theme.replaceChildren(sign({ auto: SIGNS.auto, light: SIGNS.sun, dark: SIGNS.moon }[name]));
}
theme.addEventListener("click", () => {
  setTheme(THEMES[(THEMES.indexOf(theme.dataset.name) + 1) % THEMES.length]);
  say(theme.title);
});
setTheme(THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");

showTray();
show();
