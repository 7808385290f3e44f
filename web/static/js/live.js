// The page asks for itself again, and takes over what has changed in the elements marked `data-part`: when the server
// tells it to (`data-stream`), else every so many milliseconds (`data-live`).
import { morph } from "./morph.js";
import { isTold, leave, listen, SILENCE } from "./told.js";

const main = document.getElementById("main");
const offline = document.getElementById("offline");
const shown = new Map();
let etag = null;
let timer = 0;
let asking = false;
let again = false;

for (const part of parts(document)) shown.set(part.id, part.outerHTML);

function parts(page) {
  return page.querySelectorAll("#main [data-part]");
}

function pause() {
  const wanted = Number(main.dataset.live);
  return document.hidden ? Math.max(10000, wanted) : wanted;
}

/** Ask now. */
export async function refresh() {
  again = asking;
  if (asking) return;
  asking = true;
  try {
    const headers = { "X-Requested-With": "live", ...(etag ? { "If-None-Match": etag } : {}) };
    const answer = await fetch(location.href, { headers, cache: "no-store" });
    if (answer.status === 401) location.reload();
    offline.hidden = answer.status < 500;
    if (answer.status === 404) main.dataset.live = "60000";
    if (answer.ok) take(await answer.text(), answer.headers.get("ETag"));
  } catch {
    offline.hidden = false;
  } finally {
    asking = false;
    if (again) refresh();
    else plan();
  }
}

function take(html, tag) {
  etag = tag;
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const part of parts(page)) {
    const now = part.outerHTML;
    const here = document.getElementById(part.id);
    if (!here || shown.get(part.id) === now) continue;
    shown.set(part.id, now);
    morph(here, part);
  }
  document.title = page.title;
  const { live, stream } = page.getElementById("main").dataset;
  main.dataset.live = live ?? "8000";
  if (stream) main.dataset.stream = stream;
  document.dispatchEvent(new CustomEvent("page:updated"));
}

function plan() {
  clearTimeout(timer);
  const { live, stream } = main.dataset;
  if (!live) return;
  if (stream && !document.hidden) listen(stream, heard);
  timer = setTimeout(refresh, isTold() ? SILENCE : pause());
}

function heard(changed) {
  if (changed) refresh();
  else plan();
}

function lookedAt() {
  if (!main.dataset.live) return;
  if (!document.hidden) return refresh();
  leave();
  plan();
}

document.addEventListener("visibilitychange", lookedAt);
addEventListener("pageshow", (event) => event.persisted && lookedAt());
addEventListener("online", () => main.dataset.live && refresh());
plan();
