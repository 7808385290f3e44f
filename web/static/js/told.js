// The server tells when a page has changed. A page that nobody looks at does not listen: a browser has few connections
// for one origin, and the server few streams.

/** Milliseconds; the server speaks every 10 s, so that one which does not is not heard. */
export const SILENCE = 30000;
const AGAIN = 30000;

let source = null;
let heardAt = -Infinity;
let triedAt = -Infinity;

/** Whether changes are told now; else the page has to ask. */
export function isTold() {
  return performance.now() - heardAt < SILENCE;
}

/** Have `heard(changed)` called whenever the server speaks, and when it no longer does. */
export function listen(url, heard) {
  if (source || performance.now() - triedAt < AGAIN) return;
  triedAt = performance.now();
  source = new EventSource(url);
  for (const name of ["changed", "same"]) {
    source.addEventListener(name, () => {
      heardAt = performance.now();
      heard(name === "changed");
    });
  }
  source.addEventListener("error", () => {
    heardAt = -Infinity;
    if (source?.readyState === EventSource.CLOSED) source = null; // It was refused; a stream that broke off comes back.
    heard(false);
  });
}

export function leave() {
  source?.close();
  source = null;
  heardAt = triedAt = -Infinity;
}
