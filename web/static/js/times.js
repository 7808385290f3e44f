// Moments in the reader's own words: `3 minutes ago`, and the full time for whoever points at it.

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function words(moment) {
  const seconds = (moment - Date.now()) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) ?? units[3];
  return relative.format(Math.round(seconds / length), unit);
}

function show() {
  for (const element of document.querySelectorAll("time[data-relative]")) {
    const moment = new Date(element.dateTime);
    element.textContent = words(moment);
    element.title = full.format(moment);
  }
}

show();
setInterval(show, 10000);
document.addEventListener("page:updated", show);
