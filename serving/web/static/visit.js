"use strict";

// Puts dropped files into their places by their BIDS names, checks them before anything is sent, and sends them with
// progress. The server checks everything again: this is for people's time, not for safety.

const form = document.getElementById("visit-form");
const tasks = JSON.parse(form.dataset.tasks); // {"rest": ["rest", ...], "faces": [...]}, names without case and signs
const maxBytes = Number(form.dataset.maxBytes);
const sendButton = document.getElementById("send");
const cancelButton = document.getElementById("cancel");
const progressBar = document.getElementById("progress");
const statusLine = document.getElementById("status");
const problemBox = document.getElementById("problem");

const MOST_RUNS = 20;
const HEADER_BYTES = 348;
const NIFTI_MNI = 4;
const REAL_TYPES = new Set([2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280]);

// ---- names

function entity(name, key) {
  const match = new RegExp(`(?:^|_)${key}-([A-Za-z0-9+]+)`).exec(name);
  return match ? match[1] : null;
}

function runOf(name) {
  const task = (entity(name, "task") || "").toLowerCase().replace(/[^a-z0-9]/g, "");
  for (const [kind, labels] of Object.entries(tasks)) {
    if (labels.includes(task)) return kind;
  }
  return null;
}

function partOf(name) {
  if (/_desc-preproc_bold\.nii(\.gz)?$/.test(name)) return "scan";
  if (/_desc-confounds_(timeseries|regressors)\.tsv$/.test(name)) return "confounds";
  if (/_desc-confounds_(timeseries|regressors)\.json$/.test(name)) return "confounds_sidecar";
  if (/_events\.tsv$/.test(name)) return "events";
  if (/_bold\.json$/.test(name)) return "sidecar";
  if (/_bold\.nii(\.gz)?$/.test(name) && !/_desc-/.test(name)) return "scan";
  return null;
}

function isBetterScan(name, other) {
  const rank = (text) => (/space-MNI152NLin2009cAsym/.test(text) ? 2 : /space-MNI/.test(text) ? 1 : 0);
  return rank(name) > rank(other);
}

function put(input, file) {
  const transfer = new DataTransfer();
  transfer.items.add(file);
  input.files = transfer.files;
}

// What tells one acquisition of a task from another; "run-01" and "run-1" are the same.
function acquisitionOf(name) {
  const run = entity(name, "run");
  const others = ["acq", "ce", "dir"].map((key) => entity(name, key) || "");
  return JSON.stringify([run === null ? 0 : Number(run), ...others]);
}

function inOrder(one, other) {
  const [first, second] = [JSON.parse(one), JSON.parse(other)];
  const at = first.findIndex((value, index) => value !== second[index]);
  return at < 0 ? 0 : first[at] < second[at] ? -1 : 1;
}

function fieldsetsOf(kind) {
  return [...form.querySelectorAll(`[data-run="${kind}"]`)];
}

// Makes room for one more run of a kind: rest_2, rest_3, ...
function addRun(kind) {
  const fieldsets = fieldsetsOf(kind);
  const number = fieldsets.length + 1;
  const copy = fieldsets[0].cloneNode(true);
  copy.querySelector("legend").textContent += ` ${number}`;
  copy.querySelector(".checks").replaceChildren();
  for (const input of copy.querySelectorAll("input")) {
    const label = copy.querySelector(`label[for="${input.id}"]`);
    input.value = "";
    input.id = input.name = input.name.replace(kind, `${kind}_${number}`);
    if (label) label.htmlFor = input.id;
  }
  fieldsets.at(-1).after(copy);
  return copy;
}

// A scan gets its own run; a table goes where the scan of its run is.
function fieldsetFor(kind, name, isScan) {
  const fieldsets = fieldsetsOf(kind);
  const acquisition = acquisitionOf(name);
  const own = fieldsets.find((fieldset) => fieldset.dataset.acquisition === acquisition);
  if (own || !fieldsets.length) return own;
  if (!isScan) return fieldsets.length === 1 ? fieldsets[0] : null;
  const free = fieldsets.find((fieldset) => fieldset.dataset.acquisition === undefined);
  if (!free && fieldsets.length >= MOST_RUNS) return null;
  const chosen = free || addRun(kind);
  chosen.dataset.acquisition = acquisition;
  return chosen;
}

async function place(files) {
  let placed = 0;
  const taken = new Set();
  const scansFirst = [...files].sort((one, other) => {
    const [isScan, isOther] = [one, other].map((file) => partOf(file.name) === "scan");
    if (isScan !== isOther) return isScan ? -1 : 1;
    return isScan ? inOrder(acquisitionOf(one.name), acquisitionOf(other.name)) : 0;
  });
  for (const file of scansFirst) {
    const kind = runOf(file.name);
    const part = partOf(file.name);
    const input = kind && part && fieldsetFor(kind, file.name, part === "scan")?.querySelector(`[data-part="${part}"]`);
    if (!input) continue;
    const isFirst = !taken.has(input);
    if (isFirst || part !== "scan" || isBetterScan(file.name, input.files[0].name)) put(input, file);
    taken.add(input);
    placed += 1;
  }
  const rest = files.length - placed;
  document.getElementById("drop-result").textContent =
    `${placed} of ${files.length} files found their place.` +
    (rest ? " The others are not needed, or their names are not BIDS names: choose those below." : "");
  await checkAll();
}

// ---- what files say

async function firstBytes(file, count) {
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isGzip = start[0] === 0x1f && start[1] === 0x8b;
  if (!isGzip) return new DataView(await file.slice(0, count).arrayBuffer());
  if (!("DecompressionStream" in window)) return null;
  const reader = file.stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const bytes = new Uint8Array(count);
  let filled = 0;
  while (filled < count) {
    const { value, done } = await reader.read();
    if (done) break;
    const taken = value.subarray(0, count - filled);
    bytes.set(taken, filled);
    filled += taken.length;
  }
  reader.cancel().catch(() => undefined); // the rest of the scan is not wanted here
  return new DataView(bytes.buffer, 0, filled);
}

async function readHeader(file) {
  const view = await firstBytes(file, HEADER_BYTES);
  if (view === null) return { unknown: true };
  if (view.byteLength < HEADER_BYTES) return null;
  const isLittle = view.getInt32(0, true) === HEADER_BYTES;
  if (!isLittle && view.getInt32(0, false) !== HEADER_BYTES) return null;
  const units = view.getUint8(123) & 0x38;
  const scale = units === 16 ? 1e-3 : units === 24 ? 1e-6 : 1;
  const lengths = [1, 2, 3, 4, 5].map((axis) => view.getInt16(40 + 2 * axis, isLittle));
  return {
    nAxes: view.getInt16(40, isLittle),
    nVolumes: lengths[3],
    dataType: view.getInt16(70, isLittle),
    repetitionTime: view.getFloat32(76 + 16, isLittle) * scale,
    isMni: view.getInt16(252, isLittle) === NIFTI_MNI || view.getInt16(254, isLittle) === NIFTI_MNI,
  };
}

async function tableRows(file) {
  const lines = (await file.text()).split(/\r?\n/).filter((line) => line.trim());
  const cells = lines.map((line) => line.split("\t"));
  return { header: cells[0] || [], rows: cells.slice(1) };
}

// ---- checks: [state, sentence]; good, doubt (the answer will be flagged), bad (the server would refuse)

async function checkScan(file, checks) {
  if (!/\.nii(\.gz)?$/.test(file.name)) checks.push(["bad", "The scan’s name does not end in .nii or .nii.gz."]);
  if (file.size > maxBytes) checks.push(["bad", "The scan is larger than this service takes."]);
  let header;
  try {
    header = await readHeader(file);
  } catch {
    header = null;
  }
  if (header === null) {
    checks.push(["bad", "The scan has no readable NIfTI header."]);
    return null;
  }
  if (header.unknown) {
    checks.push(["doubt", "This browser cannot look into compressed scans; the server checks them."]);
    return null;
  }
  if (header.nAxes !== 4 || header.nVolumes < 2) checks.push(["bad", "The image is not a series of volumes (4-D)."]);
  else checks.push(["good", `Series of ${header.nVolumes} volumes.`]);
  if (!REAL_TYPES.has(header.dataType)) checks.push(["bad", "The image holds colours or complex numbers."]);
  if (header.repetitionTime > 20) checks.push(["bad", `The repetition time is ${header.repetitionTime} s; probably milliseconds.`]);
  else if (header.repetitionTime > 0) checks.push(["good", `One volume every ${Number(header.repetitionTime.toPrecision(4))} s.`]);
  else checks.push(["doubt", "The header gives no repetition time; send the side-car."]);
  const space = entity(file.name, "space");
  if (space && !space.startsWith("MNI")) checks.push(["bad", `The scan is in the space ${space}, not in MNI space.`]);
  else if (space || header.isMni) checks.push(["good", space ? `Space ${space}.` : "The header says MNI space."]);
  else checks.push(["doubt", "Neither name nor header says that the scan is in MNI space."]);
  return header;
}

async function checkConfounds(file, header, checks) {
  if (!file) {
    checks.push(["doubt", "No confounds table: head motion cannot be judged, and the answer is flagged."]);
    return;
  }
  const table = await tableRows(file);
  if (header && table.rows.length !== header.nVolumes) {
    checks.push(["bad", `The confounds table has ${table.rows.length} rows, the scan ${header.nVolumes} volumes.`]);
  } else if (!table.header.includes("framewise_displacement") && !table.header.includes("FramewiseDisplacement")) {
    checks.push(["doubt", "The confounds table has no framewise displacement."]);
  } else {
    checks.push(["good", "Confounds fit the scan."]);
  }
}

async function checkEvents(file, header, checks) {
  if (!file) {
    checks.push(["bad", "A task run needs its events table."]);
    return;
  }
  const table = await tableRows(file);
  const column = table.header.indexOf("onset");
  const onsets = table.rows.map((cells) => Number(cells[column])).filter(Number.isFinite);
  if (column < 0 || !onsets.length) {
    checks.push(["bad", "The events table has no onsets."]);
  } else if (header && header.repetitionTime > 0 && Math.max(...onsets) > header.nVolumes * header.repetitionTime) {
    checks.push(["bad", "Events start after the run has ended."]);
  } else {
    checks.push(["good", `${onsets.length} events.`]);
  }
}

function checkNames(files, checks) {
  for (const [key, what] of [["sub", "participants"], ["ses", "sessions"], ["task", "tasks"]]) {
    const labels = new Set(files.map((file) => entity(file.name, key)).filter(Boolean));
    if (labels.size > 1) checks.push(["bad", `The files’ names speak of different ${what}.`]);
  }
}

async function checkRun(fieldset) {
  const file = (part) => fieldset.querySelector(`[data-part="${part}"]`)?.files[0];
  const files = [...fieldset.querySelectorAll("input[type=file]")].flatMap((input) => [...input.files]);
  const checks = [];
  if (files.length && !file("scan")) checks.push(["bad", "The scan itself is missing."]);
  if (file("scan")) {
    const header = await checkScan(file("scan"), checks);
    await checkConfounds(file("confounds"), header, checks);
    if (fieldset.querySelector('[data-part="events"]')) await checkEvents(file("events"), header, checks);
    checkNames(files, checks);
  }
  show(fieldset.querySelector(".checks"), checks);
  return { checks, hasScan: Boolean(file("scan")) };
}

const WORDS = { good: ["✓", "good"], doubt: ["!", "caution"], bad: ["×", "wrong"] };

function show(list, checks) {
  list.replaceChildren(
    ...checks.map(([state, sentence]) => {
      const item = document.createElement("li");
      item.className = `check-${state}`;
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.setAttribute("aria-hidden", "true");
      mark.textContent = WORDS[state][0];
      const spoken = document.createElement("span");
      spoken.className = "sr";
      spoken.textContent = `${WORDS[state][1]}: `;
      const words = document.createElement("span");
      words.append(spoken, sentence);
      item.append(mark, words);
      return item;
    }),
  );
}

let latestCheck = 0;

async function checkAll() {
  const mine = ++latestCheck;
  const results = await Promise.all([...form.querySelectorAll("[data-run]")].map(checkRun));
  if (mine !== latestCheck) return; // a newer choice of files is being checked
  const isBad = results.some((result) => result.checks.some(([state]) => state === "bad"));
  const hasScan = results.some((result) => result.hasScan);
  sendButton.disabled = isBad || !hasScan;
  statusLine.textContent = isBad
    ? "Mend what is marked × before sending."
    : hasScan ? "Ready to send." : "Choose at least one scan.";
}

// ---- sending

let request = null;

function isSending(yes) {
  sendButton.disabled = yes;
  cancelButton.hidden = progressBar.hidden = !yes;
  form.setAttribute("aria-busy", String(yes));
  if (yes) cancelButton.focus();
  else sendButton.focus();
}

function say(text) {
  statusLine.textContent = text;
}

function showProblem(problem) {
  const box = document.createElement("div");
  box.className = "banner banner-refuse";
  const heading = document.createElement("h2");
  heading.textContent = problem.title;
  box.append(heading);
  for (const text of [problem.detail, problem.where && `Where: ${problem.where}`, problem.remedy, `Code: ${problem.code}`]) {
    if (!text) continue;
    const line = document.createElement("p");
    line.textContent = text;
    box.append(line);
  }
  problemBox.replaceChildren(box);
  box.scrollIntoView({ block: "nearest" });
}

function answered() {
  isSending(false);
  if (request.status === 200) {
    say("Done.");
    window.location.assign(request.responseURL);
    return;
  }
  say("");
  try {
    showProblem(JSON.parse(request.responseText));
  } catch {
    showProblem({ title: "The service did not answer as expected", detail: `Status ${request.status}.`, code: "http-error" });
  }
}

function filledForm() {
  const data = new FormData(form);
  for (const [name, value] of [...data.entries()]) {
    if (value instanceof File && value.name === "" && value.size === 0) data.delete(name);
  }
  return data;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  problemBox.replaceChildren();
  request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.upload.addEventListener("progress", (step) => {
    const percent = step.lengthComputable ? Math.round((100 * step.loaded) / step.total) : 0;
    progressBar.value = percent;
    if (percent < 100) say(`Sending, ${percent} %. The scan is read while it arrives.`);
    else say("Everything has arrived. Computing the answer.");
  });
  request.addEventListener("load", answered);
  request.addEventListener("error", () => {
    isSending(false);
    say("");
    showProblem({ title: "The connection broke", detail: "The service did not receive the whole visit.", remedy: "Send it again.", code: "upload-truncated" });
  });
  request.addEventListener("abort", () => {
    isSending(false);
    say("Cancelled. Nothing was kept.");
  });
  isSending(true);
  progressBar.value = 0;
  say("Sending.");
  request.send(filledForm());
});

cancelButton.addEventListener("click", () => request?.abort());
form.addEventListener("change", (event) => {
  if (event.target.id === "all-files") place([...event.target.files]);
  else if (event.target.type === "file") checkAll();
});

const drop = document.getElementById("drop");
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("is-over");
  });
}
drop.addEventListener("dragleave", () => drop.classList.remove("is-over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("is-over");
  place([...event.dataTransfer.files]);
});

checkAll();
