"use strict";

// Draws the circuit in three dimensions once a person asks for it: only then are the 3-D library and the surface
// fetched. Without a script, or without WebGL, the flat drawing and the table below it say the same. Numbers of regions
// are those of the flat drawing.

const brain = document.getElementById("brain");
const brainButton = document.getElementById("brain-show");
const brainTools = document.getElementById("brain-tools");
const brainStatus = document.getElementById("brain-status");

const STEPS_PER_MM = 10;
const THINNEST = 2;
const THICKEST = 18;
const VIEWS = {
  left: { x: -1.5, y: 0, z: 0.1 },
  right: { x: 1.5, y: 0, z: 0.1 },
  above: { x: 0, y: -0.001, z: 1.6 },
  front: { x: 0, y: 1.6, z: 0.1 },
  oblique: { x: -0.9, y: 1.05, z: 0.6 },
};
// Style elements that the library would write into the page, which the page's policy forbids: what stands in for them
// is in the style sheet. The second belongs to its maps, which are not used here.
const STYLES_IN_PLACE = ["plotly.js-style-global", "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53"];

let camera = { eye: VIEWS.oblique, up: { x: 0, y: 0, z: 1 }, center: { x: 0, y: 0, z: 0 } };
let drawn = null; // surface and circuit, once fetched

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function loadLibrary() {
  for (const id of STYLES_IN_PLACE.filter((one) => !document.getElementById(one))) {
    const link = document.createElement("link");
    link.id = id;
    link.className = "no-inline-styles";
    document.head.append(link);
  }
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/static/plotly.min.js";
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("the 3-D library did not arrive")));
    document.head.append(script);
  });
}

async function fetched(address) {
  const reply = await fetch(address, { headers: { Accept: "application/json" } });
  if (!reply.ok) throw new Error(`status ${reply.status}`);
  return reply;
}

async function loadSurface() {
  const bytes = await (await fetched("/static/brain-surface.bin")).arrayBuffer();
  const [nVertices, nTriangles] = new Uint32Array(bytes, 0, 2);
  const places = new Int16Array(bytes, 8, 3 * nVertices);
  const corners = new Uint16Array(bytes, 8 + 6 * nVertices, 3 * nTriangles);
  const every = (list, axis, scale) => Array.from({ length: list.length / 3 }, (_, at) => list[3 * at + axis] / scale);
  return {
    x: every(places, 0, STEPS_PER_MM), y: every(places, 1, STEPS_PER_MM), z: every(places, 2, STEPS_PER_MM),
    i: every(corners, 0, 1), j: every(corners, 1, 1), k: every(corners, 2, 1),
  };
}

function surfaceTrace(surface) {
  return {
    type: "mesh3d", ...surface, color: colour("--total"), opacity: 0.09, hoverinfo: "skip", showscale: false,
    flatshading: false, lighting: { ambient: 0.75, diffuse: 0.5, specular: 0.05, roughness: 0.9, fresnel: 0.1 },
  };
}

function edgeTraces(circuit) {
  const at = new Map(circuit.regions.map((region) => [region.name, region]));
  const largest = Math.max(...circuit.edges.map((edge) => Math.abs(edge.contribution)), Number.MIN_VALUE);
  return circuit.edges.map((edge) => {
    const [from, to] = [at.get(edge.source), at.get(edge.target)];
    const share = Math.abs(edge.contribution) / largest;
    return {
      type: "scatter3d", mode: "lines", showlegend: false,
      x: [from.x, to.x], y: [from.y, to.y], z: [from.z, to.z],
      line: {
        color: colour(edge.contribution < 0 ? "--down" : "--up"),
        dash: edge.contribution < 0 ? "dash" : "solid",
        width: THINNEST + (THICKEST - THINNEST) * share,
      },
      opacity: edge.contribution ? 0.35 + 0.65 * share : 0.15,
      hovertemplate: `${edge.words}<br>${edge.amount}<extra></extra>`,
    };
  });
}

function regionTrace(circuit) {
  const regions = circuit.regions.filter((one) => one.number);
  return {
    type: "scatter3d", mode: "markers+text", showlegend: false,
    x: regions.map((one) => one.x), y: regions.map((one) => one.y), z: regions.map((one) => one.z),
    text: regions.map((one) => String(one.number)), textposition: "top center",
    textfont: { color: colour("--ink"), size: 14 },
    marker: { size: 4, color: colour("--ink") },
    hovertemplate: regions.map((one) => `${one.words}<br>${one.amount}<extra></extra>`),
  };
}

function layout() {
  const axis = { visible: false, showspikes: false };
  return {
    margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, color: colour("--ink") },
    hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
    scene: { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "data", camera, dragmode: "orbit" },
  };
}

async function draw() {
  const traces = [surfaceTrace(drawn.surface), ...edgeTraces(drawn.circuit), regionTrace(drawn.circuit)];
  await window.Plotly.react(brain, traces, layout(), { displayModeBar: false, responsive: true, scrollZoom: false });
}

function look(eye) {
  camera = { ...camera, eye };
  window.Plotly.relayout(brain, { "scene.camera": camera });
}

function turned(eye, angle) {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return { x: eye.x * cos - eye.y * sin, y: eye.x * sin + eye.y * cos, z: eye.z };
}

function scaled(eye, factor) {
  return { x: eye.x * factor, y: eye.y * factor, z: eye.z * factor };
}

const STEP = Math.PI / 12;
const MOVES = {
  "turn-left": (eye) => turned(eye, STEP),
  "turn-right": (eye) => turned(eye, -STEP),
  closer: (eye) => scaled(eye, 0.85),
  farther: (eye) => scaled(eye, 1 / 0.85),
};

async function show() {
  brainButton.disabled = true;
  brainStatus.textContent = "Loading the 3-D drawing.";
  try {
    const circuitArrives = fetched(brain.dataset.circuit).then((reply) => reply.json());
    const [surface, circuit] = await Promise.all([loadSurface(), circuitArrives, loadLibrary()]);
    drawn = { surface, circuit };
    brain.hidden = false;
    await draw();
    brain.on("plotly_relayout", (change) => {
      if (change["scene.camera"]) camera = { ...camera, ...change["scene.camera"] };
    });
    brainTools.hidden = false;
    brainButton.hidden = true;
    brainStatus.textContent = "Drag to turn, or use the buttons.";
    brainTools.querySelector("button").focus();
  } catch {
    brain.hidden = true;
    brainButton.disabled = false;
    brainStatus.textContent = "This browser could not draw in 3-D. The flat drawing and the table say the same.";
  }
}

if (brainButton) {
  brainButton.addEventListener("click", show);
  brainTools.addEventListener("click", (event) => {
    const { view, move } = event.target.dataset;
    if (view) look(VIEWS[view]);
    else if (move) look(MOVES[move](camera.eye));
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn && draw());
}
