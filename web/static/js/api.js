// The JSON API, asked with the session's cookie and its token.

const token = document.querySelector('meta[name="csrf-token"]').content;

/** Headers that show that a request comes from a page of this service. */
export const proof = { "X-CSRF-Token": token };

/** A refusal: `message` is for people, `code` is the service's, `faults` have their places. */
export class Refused extends Error {
  constructor(status, problem) {
    const faults = problem.errors ?? [];
    super(faults.length ? `${problem.detail} ${faults.map((fault) => `${fault.pointer} ${fault.detail}`).join("; ")}` : problem.detail);
    this.status = status;
    this.code = problem.code;
    this.faults = faults;
  }
}

/** The answer's JSON, null where there is none. Throws Refused; TypeError when the service does not answer. */
export async function ask(method, url, body, headers = {}) {
  const all = { Accept: "application/json", ...proof, ...headers };
  if (body !== undefined) all["Content-Type"] = "application/json";
  const answer = await fetch(url, { method, headers: all, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  const content = text && answer.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : null;
  if (!answer.ok) throw new Refused(answer.status, content ?? { detail: `The service answered ${answer.status}.`, code: "" });
  return content;
}

/** Tell something in passing. */
export function tell(text, bad = false) {
  const line = document.createElement("p");
  line.textContent = text;
  line.classList.toggle("bad", bad);
  document.getElementById("toasts").append(line);
  setTimeout(() => line.remove(), bad ? 12000 : 4000);
}

export function sentence(error) {
  const text = error instanceof Refused ? error.message : "The service does not answer. Try again in a moment.";
  return text.charAt(0).toUpperCase() + text.slice(1);
}
