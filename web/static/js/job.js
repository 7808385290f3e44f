import "./log.js";
import "./viewer.js";

// The end of a log is where it says why.
function showEnds() {
  for (const tail of document.querySelectorAll(".log-tail:not([data-shown])")) {
    tail.dataset.shown = "";
    tail.scrollTop = tail.scrollHeight;
  }
}

showEnds();
document.addEventListener("page:updated", showEnds);
