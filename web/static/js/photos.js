// The chosen files: a thumbnail of each at once, and what is wrong with some of them.

const PICTURES = /\.(jpe?g|png|webp|tiff?)$/i;
const UNSEEN = /\.(tiff?)$/i;
const REFUSED = /\.(heic|heif|cr2|cr3|nef|arw|dng|raf|orf|rw2|gif|bmp|mov|mp4)$/i;
const SIDE = 240;
const AT_A_TIME = 4;

/** One file: `state` is "looking", "good", "again" (a repeat) or "out" (cannot be used); `element` shows it. */
class Photo {
  constructor(file, name) {
    this.file = file;
    this.name = name;
    this.isZip = /\.zip$/i.test(file.name) || file.type === "application/zip";
    this.state = "looking";
    this.digest = null;
    this.element = document.createElement("li");
    this.element.innerHTML = '<div class="thumb"></div><button type="button" class="remove">×</button><span class="name"></span>';
    this.element.querySelector(".name").textContent = name;
    this.element.querySelector(".name").title = name;
    this.element.querySelector(".remove").setAttribute("aria-label", `Leave out ${name}`);
  }

  mark(state, why = "") {
    this.state = state;
    this.element.className = state === "good" ? "" : state;
    const label = this.element.querySelector(".name");
    label.classList.toggle("problem", state === "out");
    label.textContent = why || this.name;
    label.title = why ? `${this.name}: ${why}` : this.name;
  }

  progress(share) {
    let bar = this.element.querySelector("progress");
    if (!bar) {
      bar = document.createElement("progress");
      bar.setAttribute("aria-label", `Sent of ${this.name}`);
      this.element.append(bar);
    }
    bar.value = share;
    bar.hidden = share >= 1;
    this.element.classList.toggle("sent", share >= 1);
  }
}

export class Photos {
  constructor(list, { maxBytes, maxJobBytes, changed }) {
    this.all = [];
    this.version = 0;
    this.list = list;
    this.maxBytes = maxBytes;
    this.maxJobBytes = maxJobBytes;
    this.changed = changed;
    this.waiting = [];
    this.busy = 0;
    list.addEventListener("click", (event) => {
      const item = event.target.closest(".remove")?.closest("li");
      if (item) this.remove(this.all.find((photo) => photo.element === item));
    });
  }

  get isLooking() {
    return this.all.some((photo) => photo.state === "looking");
  }

  good() {
    return this.all.filter((photo) => photo.state === "good");
  }

  add(files) {
    for (const file of files) {
      const photo = new Photo(file, this.freeName(file.name));
      this.all.push(photo);
      this.list.append(photo.element);
      this.waiting.push(photo);
    }
    this.version++;
    this.next();
    this.changed();
  }

  remove(photo) {
    this.all = this.all.filter((one) => one !== photo);
    this.waiting = this.waiting.filter((one) => one !== photo);
    photo.element.remove();
    this.version++;
    this.compare();
    this.changed();
  }

  lock(on) {
    for (const photo of this.all) photo.element.querySelector(".remove").hidden = on;
  }

  summary() {
    if (!this.all.length) return "";
    const count = (state) => this.all.filter((photo) => photo.state === state).length;
    const bytes = this.good().reduce((total, photo) => total + photo.file.size, 0);
    const parts = [`${count("good")} to send, ${(bytes / 1e6).toFixed(1)} MB`];
    if (count("again")) parts.push(`${count("again")} chosen twice`);
    if (count("out")) parts.push(`${count("out")} cannot be used`);
    if (count("looking")) parts.push(`looking at ${count("looking")}`);
    return parts.join(" · ");
  }

  /** Two folders may hold files of the same name. */
  freeName(name) {
    const plain = name.normalize("NFC").replace(/[\u0000-\u001f\\/]/g, "_").slice(-180);
    const taken = new Set(this.all.map((photo) => photo.name));
    for (let i = 1, free = plain; ; i++, free = plain.replace(/(\.[^.]*)?$/, `-${i}$1`)) if (!taken.has(free)) return free;
  }

  next() {
    while (this.busy < AT_A_TIME && this.waiting.length) {
      const photo = this.waiting.shift();
      this.busy++;
      look(photo, this.maxBytes, this.maxJobBytes).finally(() => {
        this.busy--;
        this.compare();
        this.changed();
        this.next();
      });
    }
  }

  /** Of files with the same content the first one counts. */
  compare() {
    const seen = new Set();
    for (const photo of this.all) {
      if (!photo.digest || photo.state === "out") continue;
      photo.mark(seen.has(photo.digest) ? "again" : "good", seen.has(photo.digest) ? "chosen twice" : "");
      seen.add(photo.digest);
    }
  }
}

async function look(photo, maxBytes, maxJobBytes) {
  const { file, isZip } = photo;
  const thumb = photo.element.querySelector(".thumb");
  if (!file.size) return photo.mark("out", "is empty");
  if (file.size > (isZip ? maxJobBytes : maxBytes)) return photo.mark("out", "is too large");
  if (REFUSED.test(file.name)) return photo.mark("out", "send JPEG, PNG, TIFF or WebP");
  if (!isZip && !PICTURES.test(file.name) && !file.type.startsWith("image/")) return photo.mark("out", "is no photo");
  try {
    photo.digest = await digest(file);
    if (isZip) thumb.textContent = "ZIP";
    else if (UNSEEN.test(file.name)) thumb.textContent = "TIFF";
    else thumb.replaceChildren(await small(file));
  } catch {
    photo.mark("out", "cannot be read");
  }
}

async function small(file) {
  const whole = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.min(whole.width, whole.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(whole.width * scale));
  canvas.height = Math.max(1, Math.round(whole.height * scale));
  canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
  whole.close();
  return canvas;
}

/** SHA-256 where the browser offers it (over https, and on this machine); large files by their size and ends. */
async function digest(file) {
  const end = 4 << 20;
  const parts = file.size <= 8 * end ? file : new Blob([file.slice(0, end), file.slice(-end), String(file.size)]);
  const data = await parts.arrayBuffer();
  if (!crypto.subtle) return `${file.name}/${file.size}/${file.lastModified}`;
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", data))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
