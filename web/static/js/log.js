// The log of a stage while it is written: only the lines in view are elements, however many there are.

const LINE = 18;
const MOST = 200000;
const MANY = 8000;
const BAD = /\b(error|fatal|exception|traceback|failed|killed)\b/i;
const WARN = /\bwarn(ing)?\b/i;

const section = document.getElementById("log");
const job = section.dataset.job;
const view = section.querySelector(".log-view");
const space = section.querySelector(".log-space");
const text = section.querySelector("pre");
const foot = section.querySelector(".log-foot");
const count = document.getElementById("log-count");
const follow = document.getElementById("log-follow");
const all = document.getElementById("log-all");

let lines = [];
let dropped = 0;
let source = null;
let drawn = "";
let due = 0;

/** Lines of the stage's chunk, as they come. */
function open(stage, chunk, isRunning) {
  close();
  lines = [];
  dropped = 0;
  view.hidden = foot.hidden = false;
  follow.checked = true;
  const address = `/api/v1/jobs/${job}/logs/${encodeURIComponent(stage)}?chunk=${chunk}`;
  all.href = address;
  count.textContent = "Loading";
  if (isRunning) listen(`${address}&follow=true`);
  else load(`${address}&tail=${MANY}`);
  draw();
}

function close() {
  source?.close();
  source = null;
}

async function load(address) {
  try {
    const answer = await fetch(address);
    if (answer.ok) take((await answer.text()).split("\n").slice(0, -1));
    else count.textContent = answer.status === 404 ? "This stage has no log (yet)." : "The log cannot be read now.";
  } catch {
    count.textContent = "The service does not answer.";
  }
}

function listen(address) {
  source = new EventSource(address);
  source.addEventListener("lines", (event) => take(JSON.parse(event.data)));
  source.addEventListener("restart", () => { lines = []; dropped = 0; });
  source.addEventListener("end", close);
}

function take(more) {
  for (const line of more) lines.push(line);
  if (lines.length > MOST) {
    dropped += lines.length - MOST;
    lines = lines.slice(-MOST);
  }
  draw();
}

function draw() {
  if (!due) due = requestAnimationFrame(paint);
}

function paint() {
  due = 0;
  space.style.height = `${lines.length * LINE}px`;
  if (follow.checked) view.scrollTop = view.scrollHeight;
  const first = Math.max(0, Math.floor(view.scrollTop / LINE) - 10);
  const last = Math.min(lines.length, first + Math.ceil(view.clientHeight / LINE) + 20);
  const state = `${first}/${last}/${dropped}/${lines.length && lines[last - 1]}`;
  if (state !== drawn) {
    drawn = state;
    text.style.top = `${first * LINE}px`;
    text.replaceChildren(...lines.slice(first, last).map(element));
  }
  count.dataset.seen = dropped + lines.length;
  if (lines.length) count.textContent = `${(dropped + lines.length).toLocaleString("en")} lines${dropped ? `, the last ${MOST.toLocaleString("en")} here` : ""}`;
}

function element(line) {
  const made = document.createElement("span");
  made.textContent = `${line}\n`;
  if (BAD.test(line)) made.className = "bad";
  else if (WARN.test(line)) made.className = "warn";
  return made;
}

function choose() {
  const select = document.getElementById("log-stage");
  const [stage, chunk] = select.value.split("/");
  if (stage) open(stage, chunk, select.selectedOptions[0].dataset.state === "running");
}

view.addEventListener("scroll", () => {
  const isAtEnd = view.scrollTop + view.clientHeight >= view.scrollHeight - 2 * LINE;
  if (!isAtEnd && due === 0) follow.checked = false;
  draw();
}, { passive: true });
view.addEventListener("wheel", (event) => { if (event.deltaY < 0) follow.checked = false; }, { passive: true });
view.addEventListener("keydown", (event) => { if (["ArrowUp", "PageUp", "Home"].includes(event.key)) follow.checked = false; });
follow.addEventListener("change", draw);

document.addEventListener("change", (event) => { if (event.target.id === "log-stage") choose(); });
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-log]");
  if (!button) return;
  const select = document.getElementById("log-stage");
  const options = [...select.options].filter((option) => option.value.startsWith(`${button.dataset.log}/`));
  const chosen = options.find((option) => ["running", "failed"].includes(option.dataset.state)) ?? options[0];
  if (!chosen) return;
  select.value = chosen.value;
  choose();
  section.scrollIntoView({ behavior: "smooth", block: "start" });
  view.focus({ preventScroll: true });
});
