// The requests of the page; the server describes them at /api/openapi.json.

/** The answer of a GET as JSON. Throws an Error whose message is the server's sentence. */
export async function get(path, fields = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined && value !== null) query.set(name, value);
  const text = query.toString();
  return answer(await reach(`/api/${path}${text ? `?${text}` : ""}`, { signal }));
}

export async function post(path, body) {
  return answer(await reach(`/api/${path}`, request(body)));
}

/** Server-sent events of a GET, or of a POST with a body, as they come. */
export async function* events(path, body = undefined, signal = undefined) {
  const response = await reach(`/api/${path}`, { ...(body ? request(body) : {}), signal });
  if (!response.ok) await answer(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await unbroken(reader.read());
    if (done) return;
    waiting += value;
    const pieces = waiting.split("\n\n");
    waiting = pieces.pop();
    for (const piece of pieces) {
      const data = piece.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

const known = new Map();

/** What is known of one video; asked once, or `anew`. */
export function facts(number, anew = false) {
  if (anew || !known.has(number)) {
    const asked = get(`videos/${number}`);
    known.set(number, asked);
    asked.catch(() => known.delete(number));
  }
  return known.get(number);
}

/** The address of a picture: of a moment that one which shows most, else that at a time. */
export function picture(moment, side = 320) {
  const fields = new URLSearchParams({ side });
  fields.set("time_s", (moment.best_s ?? moment.start_s ?? 0).toFixed(3));
  if (moment.best_s !== undefined) {
    fields.set("start_s", moment.start_s);
    fields.set("end_s", moment.end_s);
  }
  return `/api/videos/${moment.video}/picture?${fields}`;
}

function request(body) {
  return { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

function reach(address, options) {
  return unbroken(fetch(address, options));
}

async function unbroken(connected) {
  try {
    return await connected;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is vidsearch serve still running?");
  }
}

async function answer(response) {
  const form = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(form.error ?? `The server answers with ${response.status}.`);
  return form;
}
