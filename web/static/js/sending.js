// Files to the service: a few side by side, each again until it has arrived, and on from there after a break.
import { Refused, ask, proof } from "./api.js";

const AT_A_TIME = 3;
const LONGEST_PAUSE = 15000;
const KEPT = "meshroom-tasks-upload";

/** How many files the upload had that broke off when the page was closed; 0: there is none. */
export function interrupted() {
  return kept()?.files.length ?? 0;
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

export class Sending {
  /** `report(share, text)` hears how far all of it is. */
  constructor(photos, report) {
    this.photos = photos;
    this.report = report;
    this.sent = new Map(photos.map((photo) => [photo.name, 0]));
    this.total = photos.reduce((sum, photo) => sum + photo.file.size, 0);
    this.note = "";
  }

  /** The upload's `upload://` address once every file is there. Throws Refused for what trying again does not help. */
  async run() {
    let upload = (await this.continued()) ?? (await this.announced());
    while (!upload.complete) {
      await this.round(upload);
      upload = await this.patiently(() => ask("GET", `/api/v1/uploads/${upload.upload_id}`));
    }
    this.tell();
    return upload.url;
  }

  forget() {
    localStorage.removeItem(KEPT);
  }

  async announced() {
    const files = this.photos.map(({ name, file }) => ({ name, size: file.size }));
    const upload = await this.patiently(() => ask("POST", "/api/v1/uploads", { files }));
    localStorage.setItem(KEPT, JSON.stringify({ id: upload.upload_id, files: this.marks() }));
    return upload;
  }

  /** The upload that broke off before, where it was of exactly these files. */
  async continued() {
    const before = kept();
    if (!before || JSON.stringify(before.files) !== JSON.stringify(this.marks())) return null;
    try {
      return await this.patiently(() => ask("GET", `/api/v1/uploads/${encodeURIComponent(before.id)}`));
    } catch (error) {
      if (error instanceof Refused) return null;
      throw error;
    }
  }

  marks() {
    return this.photos.map(({ name, file, digest }) => [name, file.size, digest]);
  }

  async round(upload) {
    const byName = new Map(this.photos.map((photo) => [photo.name, photo]));
    const numbers = upload.files.map((file, number) => [file, number]);
    for (const [file] of numbers.filter(([file]) => file.arrived)) this.moved(byName.get(file.name), 1);
    const waiting = numbers.filter(([file]) => !file.arrived);
    const work = async () => {
      for (let one; (one = waiting.shift());) {
        const photo = byName.get(one[0].name);
        await this.patiently(() => put(`/api/v1/uploads/${upload.upload_id}/files/${one[1]}`, photo.file, (share) => this.moved(photo, share)));
        this.moved(photo, 1);
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
  }

  moved(photo, share) {
    this.sent.set(photo.name, share * photo.file.size);
    photo.progress(share);
    this.tell();
  }

  tell() {
    const sent = [...this.sent.values()].reduce((sum, bytes) => sum + bytes, 0);
    const done = this.photos.filter((photo) => this.sent.get(photo.name) === photo.file.size).length;
    const text = `${done} of ${this.photos.length} sent, ${(sent / 1e6).toFixed(1)} of ${(this.total / 1e6).toFixed(1)} MB`;
    this.report(this.total ? sent / this.total : 1, this.note ? `${text}. ${this.note}` : text);
  }

  /** Again while the service does not answer, or is too busy; sooner when the browser is back on line. */
  async patiently(attempt) {
    for (let pause = 500; ; pause = Math.min(LONGEST_PAUSE, pause * 2)) {
      try {
        const answer = await attempt();
        this.note = "";
        return answer;
      } catch (error) {
        if (error instanceof Refused && error.status !== 429 && error.status < 500) throw error;
        this.note = "The connection broke off; it goes on by itself.";
        this.tell();
        await online(pause);
      }
    }
  }
}

function online(pause) {
  return new Promise((resolve) => {
    const done = () => { clearTimeout(timer); removeEventListener("online", done); resolve(); };
    const timer = setTimeout(done, pause);
    addEventListener("online", done);
  });
}

/** One file; fetch does not tell how much has gone. */
function put(address, file, moved) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", address);
    for (const [name, value] of Object.entries(proof)) request.setRequestHeader(name, value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => moved(Math.min(0.99, event.loaded / file.size)));
    request.addEventListener("load", () => {
      if (request.status < 300) return resolve();
      let problem = { detail: `The service answered ${request.status}.`, code: "" };
      try { problem = JSON.parse(request.responseText); } catch { /* A proxy's own words. */ }
      return reject(new Refused(request.status, problem));
    });
    for (const kind of ["error", "abort", "timeout"]) request.addEventListener(kind, () => reject(new TypeError(kind)));
    request.send(file);
  });
}
