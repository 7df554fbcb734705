// The moment of one card plays in its place while the pointer is over it, or after the key P.

import { h } from "/static/dom.js";
import { Player } from "/static/player.js";

let running = null;

export async function startPreview(shot, moment) {
  if (running?.shot === shot) return;
  stopPreview();
  const video = h("video", { muted: true, playsinline: true, tabindex: "-1", "aria-hidden": "true" });
  video.muted = true;
  const bar = h("span", { class: "shot-progress" });
  const player = new Player(video, moment.video, { height: 240 });
  running = { shot, player, video, bar };
  const mine = running;
  player.addEventListener("timeupdate", () => {
    const share = (player.time - moment.start_s) / Math.max(0.1, moment.end_s - moment.start_s);
    bar.style.transform = `scaleX(${Math.min(1, Math.max(0, share))})`;
    if (player.time >= moment.end_s && running === mine) player.seek(moment.start_s);
  });
  player.addEventListener("ended", () => running === mine && (player.seek(moment.start_s), player.play()));
  player.addEventListener("failed", () => running === mine && stopPreview());
  video.addEventListener("playing", () => video.classList.add("shown"));
  try {
    await player.open(moment.start_s);
  } catch {
    if (running === mine) running = null;
    return;
  }
  if (running !== mine) return;
  shot.append(video, bar);
  shot.classList.add("playing");
  player.play();
}

export function stopPreview(shot = running?.shot) {
  if (!running || running.shot !== shot) return;
  running.player.close();
  running.video.remove();
  running.bar.remove();
  running.shot.classList.remove("playing");
  running = null;
}

export function isPreviewing(shot) {
  return running?.shot === shot;
}
