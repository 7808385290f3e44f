// The model: a picture first, then the mesh itself, which can be turned; or the cameras around its points.

async function start(stage) {
  stage.dataset.started = "";
  const model = stage.querySelector("model-viewer");
  const canvas = stage.querySelector("canvas");
  const note = stage.querySelector(".viewer-note");
  const poster = stage.querySelector(".poster");
  const fullDetail = stage.querySelector("[data-full-detail]");
  let cloud = null;

  const show = (name) => {
    for (const button of stage.querySelectorAll("[data-view='model'], [data-view='cloud']")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === name));
    }
    canvas.hidden = name !== "cloud";
    model.hidden = name !== "model" || !model.loaded;
    poster.hidden = name === "cloud" || model.loaded;
    if (name !== "cloud") cloud?.stop();
  };

  stage.querySelector(".viewer-bar").addEventListener("click", async (event) => {
    const name = event.target.closest("button")?.dataset.view;
    if (name === "full") await (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen());
    else if (name) show(name);
    if (name !== "cloud") return;
    try {
      const { cloudView } = await import("./cloud.js");
      cloud ??= await cloudView(canvas, stage.dataset);
      cloud.start();
      note.textContent = cloud.summary;
      note.hidden = false;
    } catch (error) {
      note.textContent = `The cameras cannot be shown: ${error.message}`;
      note.hidden = false;
    }
  });
  document.addEventListener("fullscreenchange", () => {
    stage.querySelector("[data-view='full']").setAttribute("aria-pressed", String(document.fullscreenElement === stage));
  });

  model.addEventListener("progress", (event) => {
    const share = Math.round(100 * event.detail.totalProgress);
    if (share < 100) note.textContent = `Loading the model, ${share} %`;
  });
  model.addEventListener("load", () => {
    if (canvas.hidden) {
      note.hidden = true;
      show("model");
    }
    stage.dataset.ready = new URL(model.src, location).pathname.split("/").at(-1);
    if (fullDetail) fullDetail.hidden = !stage.dataset.ready.includes(".light.");
  });
  model.addEventListener("error", () => {
    note.textContent = "The model cannot be shown here (WebGL is missing?). The picture and the downloads are.";
    note.hidden = false;
  });
  fullDetail?.addEventListener("click", () => {
    fullDetail.hidden = true;
    note.textContent = "Loading the model in full detail";
    note.hidden = false;
    model.src = fullDetail.dataset.fullDetail;
  });
  self.ModelViewerElement = { dracoDecoderLocation: stage.dataset.decoder };
  await import(stage.dataset.viewer);
  model.hidden = false;
  model.src = stage.dataset.model;
}

function find() {
  const stage = document.querySelector("[data-viewer]:not([data-started])");
  if (stage) start(stage);
  for (const link of document.querySelectorAll("a[rel='ar']")) link.hidden = !link.relList.supports("ar");
}

find();
document.addEventListener("page:updated", find);
