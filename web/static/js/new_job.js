// From dropped photos to a job: look at each, send them, and submit.
import { ask, sentence } from "./api.js";
import { Photos } from "./photos.js";
import { Sending, interrupted } from "./sending.js";

const form = document.getElementById("new-job");
const drop = document.getElementById("drop");
const input = document.getElementById("files");
const go = document.getElementById("go");
const problem = document.getElementById("form-problem");
const urls = document.getElementById("urls");
const sum = document.getElementById("sum");
const key = crypto.getRandomValues(new Uint32Array(4)).join("-");

const photos = new Photos(document.getElementById("chosen"), {
  maxBytes: Number(form.dataset.maxBytes),
  maxJobBytes: Number(form.dataset.maxJobBytes),
  changed: show,
});
let isSending = false;

const addresses = () => urls.value.split(/\s+/).filter(Boolean);

function show() {
  const good = photos.good();
  const named = addresses();
  const count = good.length + named.length;
  const isZip = good.some((photo) => photo.isZip);
  const least = Number(form.dataset.minImages);
  const most = Number(form.dataset.maxImages);
  drop.classList.toggle("small-drop", photos.all.length > 0);
  document.getElementById("chosen-sum").textContent = photos.summary();
  document.getElementById("urls-sum").textContent = named.length ? `${named.length} addresses` : "";
  const enough = isZip || count >= least || named.some((one) => one.startsWith("upload://") || one.startsWith("s3://"));
  go.disabled = isSending || photos.isLooking || !enough || count > most;
  go.textContent = !count ? "Start" : enough ? `Start with ${count === 1 ? "1 file" : `${count} ${isZip ? "files" : "photos"}`}` : `At least ${least} photos`;
  if (count > most) complain(`${count} photos are more than the ${most} that a job may have.`);
  else if (!isSending) complain("");
}

function complain(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); if (!isSending) drop.classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (!isSending) photos.add(await dropped(event.dataTransfer));
});
input.addEventListener("change", takeChosen);
document.addEventListener("paste", (event) => {
  if (!isSending && event.clipboardData.files.length) photos.add([...event.clipboardData.files]);
});
urls.addEventListener("input", show);

function takeChosen() {
  photos.add([...input.files]);
  input.value = "";
}

/** All files of what was dropped, those in folders too. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    else if (entry.isDirectory) {
      const reader = entry.createReader();
      for (let more; (more = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length;) {
        for (const child of more) await walk(child);
      }
    }
  };
  for (const entry of entries) await walk(entry);
  return found.filter((file) => !file.name.startsWith("."));
}

form.addEventListener("change", (event) => {
  if (event.target.name !== "pipeline") return;
  for (const part of form.querySelectorAll("[data-settings-of]")) part.hidden = part.dataset.settingsOf !== event.target.value;
});

/** What differs from the pipeline's defaults, as the API takes it. */
function settings() {
  const found = {};
  const set = (node, attribute, value) => { (found[node] ??= {})[attribute] = value; };
  const shown = form.querySelector(`[data-settings-of="${CSS.escape(form.elements.pipeline.value)}"]`);
  for (const select of shown.querySelectorAll("select")) {
    if (!("default" in select.selectedOptions[0].dataset)) set(select.dataset.node, select.dataset.attribute, JSON.parse(select.value));
  }
  for (const line of document.getElementById("more").value.split("\n").filter((one) => one.trim())) {
    const parts = line.match(/^\s*([\w]+)[.:]([\w.]+)\s*=\s*(.*?)\s*$/);
    if (!parts) throw new Error(`“${line.trim()}” is not of the form Node.attribute=value.`);
    set(parts[1], parts[2], value(parts[3]));
  }
  return found;
}

function value(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function body(upload) {
  const name = document.getElementById("name").value.trim();
  const callback = document.getElementById("callback").value.trim();
  return {
    image_urls: [...(upload ? [upload] : []), ...addresses()],
    pipeline: form.elements.pipeline.value,
    settings: settings(),
    priority: Number(document.getElementById("priority").value),
    metadata: name ? { name } : {},
    ...(callback ? { callback_url: callback } : {}),
  };
}

function lock(on) {
  isSending = on;
  photos.lock(on);
  sum.hidden = !on;
  for (const element of form.elements) element.disabled = on;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (isSending || go.disabled) return;
  complain("");
  try {
    settings();
  } catch (error) {
    complain(error.message);
    return;
  }
  lock(true);
  addEventListener("beforeunload", warn);
  try {
    const good = photos.good();
    const sending = new Sending(good, (share, text) => {
      document.getElementById("sum-progress").value = share;
      document.getElementById("sum-text").textContent = text;
    });
    const upload = good.length ? await sending.run() : null;
    document.getElementById("sum-text").textContent = "Submitting";
    const job = await submit(body(upload));
    sending.forget();
    removeEventListener("beforeunload", warn);
    location.assign(`/jobs/${job.job_id}`);
  } catch (error) {
    removeEventListener("beforeunload", warn);
    lock(false);
    show();
    complain(sentence(error));
  }
});

/** Sent again until there is an answer: the key makes it one job however often it arrives. */
async function submit(wanted) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask("POST", "/api/v1/reconstruct", wanted, { "Idempotency-Key": `page-${key}-${photos.version}` });
    } catch (error) {
      if (error.status || attempt >= 8) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(10000, 500 * 2 ** attempt)));
    }
  }
}

function warn(event) {
  event.preventDefault();
}

const left = interrupted();
if (left) {
  const note = document.getElementById("interrupted");
  note.textContent = `An upload of ${left} photos broke off here. Drop the same photos again: those that have arrived are not sent again.`;
  note.hidden = false;
}
// Somebody may choose before this script has come over a slow line.
if (input.files.length) takeChosen();
else show();
