// The sparse points of a model (else its vertices) and the cameras that saw it, drawn with WebGL. World axes are those of the result: y up.

const VERTEX = `
attribute vec3 position; attribute vec3 colour; uniform mat4 view; uniform float size; varying vec3 tint;
void main() { gl_Position = view * vec4(position, 1.0); gl_PointSize = max(2.5, size / gl_Position.w); tint = colour; }`;
const FRAGMENT = `precision mediump float; varying vec3 tint; void main() { gl_FragColor = vec4(tint, 1.0); }`;
const MOST_POINTS = 120000;
const TURN = 0.008;

/** Loads what it needs of the three addresses and returns `{start, stop, summary}`; throws Error with a sentence where that is not possible. */
export async function cloudView(canvas, { model, cameras: camerasAddress, report }) {
  const scene = await json(camerasAddress);
  const sparse = landmarks(scene);
  const points = sparse?.places ?? sampled(positions(await bytes(model)));
  const cameras = posed(scene, !sparse && Boolean((await json(report)).mesh.turned));
  if (!points.length) throw new Error("the model has no points.");
  const gl = canvas.getContext("webgl", { antialias: true, alpha: true });
  if (!gl) throw new Error("this browser has no WebGL.");
  const frame = framed(points);
  const drawing = prepare(gl, points, sparse?.colours ?? shades(points, frame), cameras, frame);
  const eye = { turn: 0.7, rise: 0.5, distance: reach(cameras, frame) };
  let isOn = false;
  let due = 0;

  const draw = () => {
    due = 0;
    if (isOn) paint(gl, canvas, drawing, frame, eye);
  };
  const redraw = () => { due ||= requestAnimationFrame(draw); };
  listen(canvas, eye, redraw);
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return {
    start() { isOn = true; redraw(); },
    stop() { isOn = false; },
    summary: `${cameras.length} cameras around ${(points.length / 3).toLocaleString("en")} ${sparse ? "sparse points" : "points of the model"}`,
  };
}

async function bytes(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error("the files are no longer kept.");
  return answer.arrayBuffer();
}

async function json(address) {
  return JSON.parse(new TextDecoder().decode(await bytes(address)));
}

/** The sparse points with their colours, where the engine left them in the scene. */
function landmarks(scene) {
  if (!scene.structure?.length) return null;
  return {
    places: Float32Array.from(scene.structure.flatMap(({ X }) => X.map(Number))),
    colours: Float32Array.from(scene.structure.flatMap(({ color }) => color.map((value) => Number(value) / 255))),
  };
}

/** The vertices of a binary glTF file, as one Float32Array of triples. */
function positions(buffer) {
  const head = new DataView(buffer);
  const length = head.getUint32(12, true);
  const document = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 20, length)));
  const begin = 20 + length + 8;
  const parts = [];
  for (const primitive of document.meshes.flatMap((mesh) => mesh.primitives)) {
    const accessor = document.accessors[primitive.attributes.POSITION];
    const place = document.bufferViews[accessor.bufferView];
    const offset = begin + (place.byteOffset ?? 0) + (accessor.byteOffset ?? 0);
    parts.push(new Float32Array(buffer.slice(offset, offset + 12 * accessor.count)));
  }
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}

function sampled(points) {
  const step = Math.max(1, Math.ceil(points.length / 3 / MOST_POINTS));
  if (step === 1) return points;
  const found = new Float32Array(3 * Math.floor(points.length / 3 / step));
  for (let i = 0; i < found.length / 3; i++) found.set(points.subarray(3 * i * step, 3 * i * step + 3), 3 * i);
  return found;
}

/**
 * Of AliceVision's scene: centre, axes (columns of camera to world) and the half opening of each camera with a pose.
 * `turned`: the model that they are shown with is half a turn about x from their world.
 */
export function posed(scene, turned) {
  const valid = (scene.poses ?? []).filter(({ pose }) => String(pose.valid ?? "1") !== "0");
  const poses = new Map(valid.map((entry) => [String(entry.poseId), entry.pose.transform]));
  const signs = turned ? [1, -1, -1] : [1, 1, 1];
  const lenses = new Map((scene.intrinsics ?? []).map((entry) => [String(entry.intrinsicId), entry]));
  return (scene.views ?? []).filter((view) => poses.has(String(view.poseId))).map((view) => {
    const { rotation, center } = poses.get(String(view.poseId));
    const lens = lenses.get(String(view.intrinsicId)) ?? {};
    const width = Number(lens.width) || 4;
    const height = Number(lens.height) || 3;
    const focal = lens.pxFocalLength ? Number([lens.pxFocalLength].flat()[0]) : (Number(lens.focalLength) / Number(lens.sensorWidth)) * width;
    const half = 0.5 * (width / (focal || width));
    const place = center.map((value, axis) => signs[axis] * Number(value));
    const axes = rotation.map((value, index) => signs[Math.floor(index / 3)] * Number(value));
    return { centre: place, rotation: axes, x: half, y: (half * height) / width };
  });
}

function framed(points) {
  const middle = [0, 1, 2].map((axis) => {
    const values = Float32Array.from({ length: points.length / 3 }, (_, i) => points[3 * i + axis]).sort();
    return [values[Math.floor(0.03 * values.length)], values[Math.floor(0.97 * (values.length - 1))]];
  });
  const centre = middle.map(([low, high]) => (low + high) / 2);
  const radius = Math.max(...middle.map(([low, high]) => high - low)) / 2 || 1;
  return { centre, radius, low: middle[1][0], high: middle[1][1] };
}

/** From how many radii away the cameras are seen too. */
function reach(cameras, frame) {
  const far = cameras.map(({ centre }) => Math.hypot(...centre.map((value, k) => value - frame.centre[k])) / frame.radius);
  far.sort((a, b) => a - b);
  return Math.min(9, Math.max(2.6, 2.3 * (far[Math.floor(0.9 * far.length)] ?? 0)));
}

function prepare(gl, points, colours, cameras, frame) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  const lines = frustums(cameras, frame.radius * 0.22);
  return {
    points: buffers(gl, program, points, colours, gl.POINTS),
    lines: buffers(gl, program, lines.places, lines.colours, gl.LINES),
    view: gl.getUniformLocation(program, "view"),
    size: gl.getUniformLocation(program, "size"),
  };
}

function buffers(gl, program, places, colours, mode) {
  const made = [["position", places], ["colour", colours]].map(([name, data]) => {
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    return [gl.getAttribLocation(program, name), buffer];
  });
  return { made, mode, count: places.length / 3 };
}

/** From deep green below to sand above. */
function shades(points, frame) {
  const colours = new Float32Array(points.length);
  for (let i = 0; i < points.length; i += 3) {
    const share = Math.min(1, Math.max(0, (points[i + 1] - frame.low) / (frame.high - frame.low || 1)));
    colours.set([0.16 + 0.6 * share, 0.42 + 0.2 * share, 0.4 - 0.06 * share], i);
  }
  return colours;
}

function frustums(cameras, depth) {
  const places = [];
  const colours = [];
  for (const { centre, rotation: R, x, y } of cameras) {
    const corner = (a, b) => [0, 1, 2].map((k) => centre[k] + depth * (R[3 * k] * a * x * 2 + R[3 * k + 1] * b * y * 2 + R[3 * k + 2]));
    const corners = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
    corners.forEach((from, i) => places.push(...centre, ...from, ...from, ...corners[(i + 1) % 4]));
    for (let i = 0; i < 16; i++) colours.push(0.85, 0.45, 0.2);
  }
  return { places: new Float32Array(places), colours: new Float32Array(colours) };
}

function paint(gl, canvas, drawing, frame, eye) {
  const scale = Math.min(devicePixelRatio, 2);
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  gl.viewport(0, 0, width, height);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.uniformMatrix4fv(drawing.view, false, camera(frame, eye, width / height));
  gl.uniform1f(drawing.size, (frame.radius * height) / 110);
  for (const { made, mode, count } of [drawing.points, drawing.lines]) {
    for (const [place, buffer] of made) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
    }
    gl.drawArrays(mode, 0, count);
  }
}

/** A perspective view of the frame's middle, by columns. */
function camera(frame, eye, aspect) {
  const reach = eye.distance * frame.radius;
  const back = [Math.cos(eye.rise) * Math.sin(eye.turn), Math.sin(eye.rise), Math.cos(eye.rise) * Math.cos(eye.turn)];
  const right = [Math.cos(eye.turn), 0, -Math.sin(eye.turn)];
  const up = [back[1] * right[2] - back[2] * right[1], back[2] * right[0] - back[0] * right[2], back[0] * right[1] - back[1] * right[0]];
  const at = frame.centre.map((value, k) => value + reach * back[k]);
  const rows = [right, up, back].map((axis) => [...axis, -(axis[0] * at[0] + axis[1] * at[1] + axis[2] * at[2])]);
  const f = 1 / Math.tan(0.42) / Math.max(1, 1 / aspect);
  const near = reach / 200;
  const far = reach * 20;
  const depth = [(far + near) / (near - far), (2 * far * near) / (near - far)];
  const found = [];
  for (let column = 0; column < 4; column++) {
    const z = rows[2][column];
    found.push((f / aspect) * rows[0][column], f * rows[1][column], depth[0] * z + (column === 3 ? depth[1] : 0), -z);
  }
  return new Float32Array(found);
}

function listen(canvas, eye, redraw) {
  const fingers = new Map();
  const turn = (x, y) => {
    eye.turn -= x * TURN;
    eye.rise = Math.min(1.5, Math.max(-1.5, eye.rise + y * TURN));
    redraw();
  };
  const zoom = (factor) => {
    eye.distance = Math.min(20, Math.max(0.3, eye.distance * factor));
    redraw();
  };
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const before = fingers.size === 2 ? spread() : 0;
    const now = { x: event.clientX, y: event.clientY };
    fingers.set(event.pointerId, now);
    if (fingers.size === 2) zoom(before / (spread() || 1));
    else turn(now.x - last.x, now.y - last.y);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(event.deltaY * 0.001)); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const known = {
      ArrowLeft: () => turn(-14, 0), ArrowRight: () => turn(14, 0), ArrowUp: () => turn(0, 14), ArrowDown: () => turn(0, -14),
      "+": () => zoom(0.87), "=": () => zoom(0.87), "-": () => zoom(1.15),
    }[event.key];
    if (!known) return;
    event.preventDefault();
    known();
  });
}
