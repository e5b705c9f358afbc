"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const KEPT = 6; // pictures whose pixels stay in this page's memory
  const GROUP = 16; // files of one request: its answer comes while the next are sent
  const INFERNO = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];
  let health = { size: [0, 0], largest: Infinity, classes: [], kind: "binary", threshold: null };
  const entries = []; // {files, prediction, looked}
  const recent = [];
  let current = null, slice = 0, low = 0, high = 255;

  const make = (tag, text = "", className = "") => {
    const made = document.createElement(tag);
    made.textContent = text; // never HTML: names and reasons come from files
    if (className) made.className = className;
    return made;
  };
  const strip = (title, text, kind = "") => {
    const made = make("p", "", "strip " + kind);
    made.append(make("strong", title), text);
    $("strips").append(made);
  };
  const short = (value, digits = 3) => String(Number(Number(value).toPrecision(digits))).replace("-", "\u2212");
  const percent = (share) => share > 0.995 && share < 1 ? ">99 %" : share < 0.005 && share > 0 ? "<1 %" : Math.round(100 * share) + " %";
  const whole = (value) => String(Math.round(value)).replace("-", "\u2212");
  const classOf = (column) => column.replace(/^(p|calibrated)_/, "");

  // What is asked of the server

  const ask = async (path, files) => {
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    try {
      const answer = await fetch(path, { method: "POST", body: form });
      return await answer.json();
    } catch {
      return { detail: "The server does not answer.", predictions: [] };
    }
  };
  const unread = (files, reason) => files.map((file, place) => ({ file: file.name, parts: [place], row: null, outputs: {}, calibrated: {}, notes: [], reason }));

  const groups = (files) => {
    if (health.size.length === 3) return [files]; // slices of one series belong together
    const found = [];
    let size = Infinity;
    for (const file of files) {
      if (size + file.size > health.largest / 2 || found.at(-1).length === GROUP) { found.push([]); size = 0; }
      found.at(-1).push(file);
      size += file.size;
    }
    return found;
  };

  const add = async (files) => {
    if (!files.length) return;
    $("wait").hidden = false;
    const before = entries.length;
    for (const group of groups([...files])) {
      const bytes = group.reduce((sum, file) => sum + file.size, 0);
      const fits = bytes < health.largest;
      const told = fits ? await ask("/predict", group) : { detail: "Larger than this server takes; python -m keras_med.predict has no limit.", predictions: [] };
      const found = told.predictions && told.predictions.length ? told.predictions : unread(group, told.detail);
      for (const prediction of found) entries.push({ prediction, files: prediction.parts.map((part) => group[part]), looked: null });
      list();
    }
    $("wait").hidden = true;
    const first = entries.findIndex((entry, place) => place >= before && !entry.prediction.reason);
    await show(first < 0 ? before : first);
  };

  const lookedAt = async (entry) => {
    if (!entry.looked) {
      entry.looked = await ask("/look?row=" + (entry.prediction.row || 0), entry.files);
      recent.push(entry);
      if (recent.length > KEPT) recent.shift().looked = null;
    }
    return entry.looked;
  };

  // The list of pictures

  const titleOf = ({ files, prediction }) => {
    const name = prediction.file || "(no name)";
    if (prediction.row !== null && prediction.row !== undefined) return name + ", row " + prediction.row;
    return files.length > 1 ? files.length + " slices, " + name : name;
  };
  const shortAnswer = ({ outputs, calibrated }) => {
    if ("predicted" in outputs) return short(outputs.predicted) + (health.unit ? " " + health.unit : "");
    const shown = Object.keys(calibrated).length ? calibrated : outputs;
    const best = Object.entries(shown).sort((one, other) => other[1] - one[1])[0];
    if (!best) return "";
    return health.kind === "binary" ? percent(best[1]) : classOf(best[0]) + " " + percent(best[1]);
  };
  const list = () => {
    $("list").replaceChildren(...entries.map((entry, place) => {
      const item = make("li"), button = make("button");
      button.type = "button";
      button.append(make("span", titleOf(entry), "name"), make("span", shortAnswer(entry.prediction), "says"));
      if (entry.prediction.reason) button.append(make("span", entry.prediction.reason, "bad"));
      else if (entry.prediction.out_of_range) button.append(make("span", "out of range", "bad"));
      if (entry === current) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => show(place));
      item.append(button);
      return item;
    }));
    $("count").textContent = entries.length === 1 ? "1 picture" : entries.length + " pictures";
    $("pictures").hidden = entries.length === 0;
  };

  // One answer

  const scale = (share, mark = null) => {
    const made = make("div", "", "scale"), filled = make("span");
    filled.style.width = 100 * share + "%";
    made.append(filled);
    if (mark !== null) { const tick = make("i"); tick.style.left = 100 * mark + "%"; made.append(tick); }
    return made;
  };
  const binary = (card, { outputs, calibrated, decision }) => {
    const [name, own] = Object.entries(outputs)[0], other = Object.values(calibrated)[0];
    card.append(make("p", percent(other ?? own), "value"));
    card.append(make("p", (other === undefined ? "probability of " : "calibrated probability of ") + classOf(name), "what"));
    card.append(health.threshold === null ? scale(other ?? own) : scale(own, health.threshold)); // it is one of the own
    const limit = health.threshold === null ? "" : ", threshold " + short(health.threshold);
    card.append(make("p", "the network\u2019s own " + short(own) + limit, "quiet"));
    if (decision !== null && decision !== undefined) card.append(make("p", "Called " + decision + " at the threshold", "verdict"));
  };
  const classes = (card, { outputs, calibrated }) => {
    const shown = Object.keys(calibrated).length ? calibrated : outputs;
    const order = Object.entries(shown).sort((one, other) => other[1] - one[1]);
    order.forEach(([name, share], place) => {
      const row = make("div", "", place ? "class" : "class first");
      row.append(make("span", classOf(name)), make("span", percent(share)), scale(share));
      card.append(row);
    });
    card.append(make("p", shown === calibrated ? "calibrated probabilities" : "probabilities as the network gives them", "quiet notes"));
  };
  const answer = ({ prediction }) => {
    const card = $("answer");
    card.replaceChildren(make("h2", health.demo ? "Prediction, demo model" : "Prediction"));
    card.hidden = false;
    if (prediction.reason) { card.append(make("p", prediction.reason, "flag red")); return; }
    if (health.kind === "regression") {
      const value = make("p", short(prediction.outputs.predicted), "value");
      value.append(make("small", health.unit));
      card.append(value);
    } else (health.kind === "binary" ? binary : classes)(card, prediction);
    if (prediction.spread !== null && prediction.spread !== undefined) card.append(make("p", "\u00b1 " + short(prediction.spread) + " between the networks whose mean this is", "quiet notes"));
    if (health.undecided) card.append(make("p", health.undecided, "quiet notes"));
    if (prediction.out_of_range) card.append(make("p", "Unlike the training pictures in " + prediction.out_of_range + ": do not rely on this answer.", "flag red"));
    else if (prediction.out_of_range === "") card.append(make("p", "Like the training pictures in brightness, layout and texture.", "quiet notes"));
    if (prediction.notes.length) card.append(make("p", prediction.notes.join("; "), "quiet notes"));
  };

  // Pixels

  const unpacked = (told) => {
    const text = atob(told.data), bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
    told.data = ""; // once is enough
    return told.bits === 16 ? new Uint16Array(bytes.buffer) : bytes;
  };
  const prepared = (told) => {
    if (told && !told.values) told.values = unpacked(told);
    return told;
  };
  const table = (told) => {
    const size = 2 ** told.bits, made = new Uint8ClampedArray(size), step = (told.high - told.low) / (size - 1);
    for (let stored = 0; stored < size; stored++) made[stored] = 255 * (told.low + stored * step - low) / Math.max(high - low, 1e-9);
    return made;
  };
  const drawPicture = () => {
    const told = current.looked.picture, canvas = $("picture"), values = told.values, channels = told.channels;
    const pixels = told.width * told.height, grey = table(told), context = canvas.getContext("2d");
    const image = context.createImageData(told.width, told.height), data = image.data;
    const green = channels === 3 ? 1 : 0, blue = channels === 3 ? 2 : 0;
    for (let pixel = 0, from = slice * pixels * channels, to = 0; pixel < pixels; pixel++, from += channels, to += 4) {
      data[to] = grey[values[from]];
      data[to + 1] = grey[values[from + green]];
      data[to + 2] = grey[values[from + blue]];
      data[to + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };
  const drawHeat = () => {
    const told = current.looked.heat, canvas = $("heat");
    canvas.hidden = !told;
    if (!told) return;
    canvas.style.opacity = $("opacity").value / 100;
    const pixels = told.width * told.height, context = canvas.getContext("2d");
    const image = context.createImageData(told.width, told.height), data = image.data;
    const plane = Math.min(told.depth - 1, Math.floor(slice * told.depth / current.looked.picture.depth)) * pixels;
    for (let pixel = 0, to = 0; pixel < pixels; pixel++, to += 4) {
      const share = told.values[plane + pixel] / 255, place = share * (INFERNO.length - 1);
      const from = INFERNO[Math.floor(place)], next = INFERNO[Math.min(Math.floor(place) + 1, INFERNO.length - 1)];
      for (let colour = 0; colour < 3; colour++) data[to + colour] = from[colour] + (next[colour] - from[colour]) * (place % 1);
      data[to + 3] = 255 * share;
    }
    context.putImageData(image, 0, 0);
  };
  const fit = () => {
    const told = current && current.looked && current.looked.picture;
    if (!told) return;
    const factor = Math.min($("stage").clientWidth / told.width, $("stage").clientHeight / told.height);
    $("frame").style.width = told.width * factor + "px";
    $("frame").style.height = told.height * factor + "px";
  };
  const say = () => {
    const told = current.looked.picture, unit = told.unit ? " " + told.unit : "";
    $("level-value").textContent = whole((low + high) / 2) + unit;
    $("window-value").textContent = whole(high - low) + unit;
    $("opacity-value").textContent = $("opacity").value + " %";
    $("slice-value").textContent = slice + 1 + " of " + told.depth;
    const seen = told.depth > 1 ? ["slice " + (slice + 1) + " of " + told.depth] : [];
    if (told.reduced < 1) seen.push("shown at " + Math.round(100 * told.reduced) + " % of its width");
    $("place").textContent = seen.join(" \u00b7 ");
    $("level").value = (low + high) / 2;
    $("window").value = high - low;
    $("slice").value = slice;
    $("picture").setAttribute("aria-label", titleOf(current) + (told.depth > 1 ? ", slice " + (slice + 1) : ""));
  };
  const setWindow = (level, width) => {
    low = level - width / 2;
    high = level + width / 2;
    drawPicture();
    say();
  };
  const setSlice = (wanted) => {
    slice = Math.max(0, Math.min(current.looked.picture.depth - 1, wanted));
    drawPicture();
    drawHeat();
    say();
  };

  const reset = () => {
    const told = current.looked.picture;
    [low, high] = told.window;
    $("level").min = told.low;
    $("level").max = told.high;
    $("window").min = (told.high - told.low) / 500;
    $("window").max = Math.max(told.high - told.low, high - low);
    $("slice").max = told.depth - 1;
    setSlice(slice);
  };
  const show = async (place) => {
    const entry = current = entries[place];
    list();
    answer(entry);
    $("empty").hidden = true;
    $("named").textContent = titleOf(entry);
    $("frame").hidden = $("controls").hidden = true;
    $("place").textContent = "";
    if (entry.prediction.reason) return;
    $("wait").hidden = false;
    const looked = await lookedAt(entry);
    if (entry !== current) return; // another was chosen meanwhile
    $("wait").hidden = true;
    const told = prepared(looked.picture), heat = prepared(looked.heat);
    if (!told) { $("place").textContent = looked.detail || ""; return; }
    $("picture").width = told.width;
    $("picture").height = told.height;
    if (heat) { $("heat").width = heat.width; $("heat").height = heat.height; }
    $("frame").hidden = $("controls").hidden = false;
    $("slice-control").hidden = told.depth < 2;
    $("opacity-control").hidden = !heat;
    $("heat-name").textContent = health.kind === "regression" ? "Heat" : "Heat for " + classOf(looked.heat_of);
    $("heat-note").textContent = looked.no_heat || "Heat shows what the network\u2019s answer came from; it is no diagnosis.";
    slice = Math.floor(told.depth / 2);
    fit();
    reset();
  };

  // What a user does

  $("files").addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
  addEventListener("dragover", (event) => { event.preventDefault(); $("stage").classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("stage").classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("stage").classList.remove("over");
    add([...event.dataTransfer.files]);
  });
  const width = () => Number($("window").value), level = () => Number($("level").value);
  $("level").addEventListener("input", () => setWindow(level(), high - low));
  $("window").addEventListener("input", () => setWindow((low + high) / 2, width()));
  $("slice").addEventListener("input", () => setSlice(Number($("slice").value)));
  $("opacity").addEventListener("input", () => { drawHeat(); say(); });
  $("reset").addEventListener("click", reset);
  const ready = () => current && current.looked && current.looked.picture && !$("frame").hidden;
  addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key];
    if (!step || event.target.matches("input") || !entries.length) return;
    event.preventDefault();
    if (ready() && current.looked.picture.depth > 1) setSlice(slice + step);
    else show(Math.max(0, Math.min(entries.length - 1, entries.indexOf(current) + step)));
  });
  $("stage").addEventListener("wheel", (event) => {
    if (!ready() || current.looked.picture.depth < 2) return;
    event.preventDefault();
    setSlice(slice + Math.sign(event.deltaY));
  }, { passive: false });
  $("frame").addEventListener("pointermove", (event) => {
    if (!event.buttons || !ready()) return;
    const told = current.looked.picture, step = (told.high - told.low) / 1000;
    const wide = Math.max(Number($("window").min), high - low + event.movementX * step);
    setWindow((low + high) / 2 + event.movementY * step, wide);
  });
  new ResizeObserver(fit).observe($("stage"));

  fetch("/health").then((answered) => answered.json()).then((told) => {
    health = told;
    document.title = told.model + " \u00b7 keras_med";
    $("model").textContent = told.model;
    const limit = told.threshold === null ? "" : " \u00b7 threshold " + short(told.threshold);
    $("facts").textContent = "version " + told.version + " \u00b7 " + told.size.join(" \u00d7 ") + limit;
    if (told.demo) strip("DEMO MODEL", "It was trained on generated images: its answers mean nothing in medicine.");
    if (told.changed.length) strip("CHANGED", "This export is not as it was written: " + told.changed.join(", ") + ".", "red");
  });
})();
