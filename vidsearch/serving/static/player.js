// One <video> that plays a file as it is where the browser can, and the converted stream of the server where not.
// Times are those of the file (container presentation time); a converted stream begins anew at every jump.

import { facts } from "/static/api.js";

export class Player extends EventTarget {
  /** `video`: the element. `height`: of a converted stream. */
  constructor(video, number, { height = 720 } = {}) {
    super();
    this.video = video;
    this.number = number;
    this.height = height;
    this.offset = 0;
    this.direct = false;
    this.wanted = null;
    this.failures = 0;
    for (const name of ["timeupdate", "play", "pause", "seeking", "waiting", "playing", "volumechange"]) {
      video.addEventListener(name, () => this.dispatchEvent(new Event(name)));
    }
    video.addEventListener("playing", () => (this.failures = 0));
    video.addEventListener("error", () => this.recover());
    video.addEventListener("ended", () => {
      if (!this.direct && this.time < this.end - 1) this.recover();
      else this.dispatchEvent(new Event("ended"));
    });
  }

  async open(time = undefined) {
    this.facts = await facts(this.number);
    this.start = this.facts.start_s ?? 0;
    this.end = this.facts.end_s ?? this.start;
    this.direct = Boolean(this.facts.type) && this.video.canPlayType(this.facts.type) === "probably";
    this.load(time ?? this.start);
    return this;
  }

  get time() {
    return this.wanted ?? this.offset + this.video.currentTime;
  }

  get paused() {
    return this.video.paused;
  }

  load(time) {
    this.wanted = time;
    const arrived = () => (this.wanted = null);
    if (this.direct) {
      this.offset = 0;
      this.video.src = `/api/videos/${this.number}/file`;
      this.video.addEventListener("loadedmetadata", () => { this.video.currentTime = time; arrived(); }, { once: true });
    } else {
      this.offset = time;
      this.video.src = `/api/videos/${this.number}/converted?start_s=${time.toFixed(3)}&height=${this.height}`;
      this.video.addEventListener("loadeddata", arrived, { once: true });
    }
  }

  seek(time) {
    time = Math.min(Math.max(time, this.start), Math.max(this.start, this.end - 0.05));
    const { buffered } = this.video;
    const reached = buffered.length ? this.offset + buffered.end(buffered.length - 1) : this.offset;
    if (this.direct && this.video.readyState >= 1) this.video.currentTime = time;
    else if (!this.direct && this.wanted === null && time >= this.offset && time < reached) {
      this.video.currentTime = time - this.offset;
    } else {
      const playing = !this.video.paused;
      this.load(time);
      if (playing) this.play();
    }
    this.dispatchEvent(new Event("timeupdate"));
  }

  play() {
    return this.video.play().catch(() => {}); // a newer source came in between, or the browser wants a click first
  }

  toggle() {
    if (this.video.paused) this.play();
    else this.video.pause();
  }

  /** A file that the browser promised to play and does not is converted; a stream that broke off begins again. */
  recover() {
    if (!this.video.getAttribute("src")) return;
    this.failures += 1;
    if (this.failures > 2) {
      this.dispatchEvent(new Event("failed"));
      return;
    }
    const time = this.time;
    const playing = !this.video.paused || this.video.autoplay;
    this.direct = false;
    this.load(time);
    if (playing) this.play();
  }

  close() {
    this.video.removeAttribute("src");
    this.video.load(); // ends the request, and with it the conversion
  }
}
