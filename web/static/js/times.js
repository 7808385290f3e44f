// Moments in the reader's own words: `3 minutes ago`, and the full time for whoever points at it.

const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

// Written out: `Intl` takes a tenth of a second before its first word, while the page is waited for.
function words(moment) {
  const seconds = (moment - Date.now()) / 1000;
  const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) ?? units[3];
  const count = Math.round(Math.abs(seconds) / length);
  if (Math.abs(seconds) < 5) return "just now";
  if (unit === "day" && count === 1) return seconds < 0 ? "yesterday" : "tomorrow";
  const span = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return seconds < 0 ? `${span} ago` : `in ${span}`;
}

function show() {
  for (const element of document.querySelectorAll("time[data-relative]")) {
    element.textContent = words(new Date(element.dateTime));
  }
}

function tellAll(event) {
  const element = event.target.closest("time[data-relative]");
  if (element) element.title = new Date(element.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

show();
setInterval(show, 10000);
document.addEventListener("page:updated", show);
document.addEventListener("pointerover", tellAll);
