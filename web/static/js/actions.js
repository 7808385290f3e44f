// Buttons that ask something of the API: `data-url`, `data-method` (POST), `data-body`, `data-confirm`, `data-then`.
import { ask, sentence, tell } from "./api.js";
import { refresh } from "./live.js";

const dialog = document.getElementById("confirm");

let settle = () => {};

/** The `close` event comes late, perhaps when the next question stands there: it counts only while none does. */
function agreed(question) {
  dialog.querySelector("#confirm-text").textContent = question;
  dialog.showModal();
  return new Promise((resolve) => { settle = resolve; });
}

dialog.addEventListener("submit", (event) => settle(event.submitter?.value === "yes"));
dialog.addEventListener("close", () => dialog.open || settle(false));

async function act(button) {
  const { url, method = "POST", body, confirm, then, action } = button.dataset;
  if (confirm && !(await agreed(confirm))) return;
  button.disabled = true;
  try {
    await ask(method, url, body === undefined ? undefined : JSON.parse(body));
    tell(action);
    if (then && location.pathname !== then) location.assign(then);
    else await refresh();
  } catch (error) {
    tell(sentence(error), true);
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (button) act(button);
});
