"use strict";

// Beyond a BM25 of 20 most words of a short query are there; a closeness of 1/3 points away.
const FULL_BM25 = 20;
const LEAST_CLOSENESS = 1 / 3;
const COMPARED = ["lexical", "vector", "hybrid"];
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a"];
const PAUSE = 80;   // milliseconds without a key or a move before the server is asked
const MOST_SKIPPED = 1000;   // of the API
const LOWEST = { min_score: ["Score at least", "any"], min_closeness: ["Closeness at least", 0.01], min_probability: ["Probability at least", 0.01] };
const LIMITS = ["group", ...Object.keys(LOWEST), "why"];
const NEAR = 30;    // pixels of the map's canvas from a click to its point

const byId = (id) => document.getElementById(id);
const [form, text, file, profile, blend, operators, sort, k, said, lists, shown] =
  ["ask", "text", "file", "profile", "blend", "operators", "sort", "k", "said", "lists", "shown"].map(byId);

let about = { profiles: [], inputs: {}, facets: {}, fields: {}, filters: [], pictures: false, encoder: "" };
let image = null;          // the File that asks
let like = [];             // ids of documents that are examples of what is wanted
let unlike = [];           // and of what is not
let filters = new Set();   // FIELD=VALUE that a hit has
let nots = new Set();      // and that it has not
let limits = {};           // group, lowest numbers and the document to explain, as the API names them
let offset = 0;            // hits before the page of hits that is shown
let judged = new Map();    // "query\ndocument" -> relevant
let flat = [];             // the hits on screen, in order
let opened = -1;           // which of them is in the dialog
let latest = 0;            // number of the last search: a slow answer to an older one is dropped

function element(name, className, content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

function button(content, action, className = "") {
  const made = element("button", className, content);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

function pictureOf(id, size) {
  return `/images/${encodeURIComponent(id)}?size=${size}`;
}

function paused(action) {
  let waiting = 0;
  return () => { clearTimeout(waiting); waiting = setTimeout(action, PAUSE); };
}

function say(sentence, warn = false) {
  said.textContent = sentence;
  said.classList.toggle("warn", warn);
}

async function ask(path, how = {}) {
  let response;
  try {
    response = await fetch(path, how);
  } catch {
    return { error: "The server does not answer: is it still running?" };
  }
  if (response.status === 401) {
    if (!byId("door").open) byId("door").showModal();
    return { error: "This server needs a token." };
  }
  return response.json();
}

function chosenProfiles() {
  if (profile.value === "compare") return COMPARED.filter((name) => about.profiles.includes(name));
  return profile.value ? [profile.value] : [];
}

function blended() {
  return (chosenProfiles().length ? chosenProfiles() : [about.default]).find((name) => "alpha" in (about.inputs[name] || {}));
}

function parameters() {
  const asked = new URLSearchParams();
  if (text.value.trim()) asked.set("text", text.value.trim());
  like.forEach((id) => asked.append("like", id));
  unlike.forEach((id) => asked.append("unlike", id));
  filters.forEach((each) => asked.append("filter", each));
  nots.forEach((each) => asked.append("not", each));
  Object.entries(limits).forEach(([name, value]) => asked.set(name, value));
  if (operators.checked) asked.set("operators", "true");
  if (blended() && blend.dataset.moved) asked.set("input", `alpha=${blend.value}`);
  if (about.counting) Object.keys(about.facets).forEach((field) => asked.append("facet", field));
  if (sort.value) asked.set("sort", sort.value);
  if (offset) asked.set("offset", offset);
  asked.set("k", k.value);
  chosenProfiles().forEach((name) => asked.append("profile", name));
  return asked;
}

async function search(remember = true, skipped = 0) {
  offset = skipped;
  const asked = parameters();
  showBlend();
  if (!asked.has("text") && !like.length && !image) return start();
  if (remember) history.pushState(null, "", image ? location.pathname : address());
  const number = ++latest;
  say("Searching …");
  const how = image ? { method: "POST", body: image, headers: { "Content-Type": "application/octet-stream" } } : {};
  const answer = await ask(`/search?${asked}`, how);
  if (number === latest) show(answer);
}

function address() {
  const state = parameters();
  ["profile", "facet"].forEach((name) => state.delete(name));
  if (profile.value) state.set("ranking", profile.value);
  return `#${state}`;
}

function restore() {
  const state = new URLSearchParams(location.hash.slice(1));
  text.value = state.get("text") || "";
  profile.value = state.get("ranking") || "";
  k.value = state.get("k") || "12";
  sort.value = state.get("sort") || "";
  [profile, sort].forEach((control) => { if (!control.value) control.value = ""; });
  operators.checked = state.has("operators");
  filters = new Set(state.getAll("filter"));
  nots = new Set(state.getAll("not"));
  limits = Object.fromEntries(LIMITS.filter((name) => state.get(name)).map((name) => [name, state.get(name)]));
  blend.dataset.moved = state.has("input") ? "yes" : "";
  if (state.has("input")) blend.value = state.get("input").replace("alpha=", "");
  showFacets();
  askBy(null, state.getAll("like"), state.getAll("unlike"));
  search(false, Number(state.get("offset")) || 0);
}

function showBlend() {
  const name = blended();
  byId("blend-label").hidden = !name || !text.value.trim();
  if (name && !blend.dataset.moved) blend.value = about.inputs[name].alpha;
}

// The start page

async function start() {
  latest++;
  say("");
  flat = [];
  lists.replaceChildren();
  byId("pages").hidden = true;
  byId("start").hidden = false;
  if (about.map && byId("map").hidden) drawMap(await ask("/map"));
}

function fillStart() {
  const tries = about.examples.map((words) => button(words, () => { text.value = words; search(); }, "try"));
  byId("tries").replaceChildren(...(tries.length ? ["Try: ", ...tries] : []));
  byId("samples").replaceChildren(...(about.pictures ? about.samples : []).map((id) => {
    const sample = button("", () => { askBy(null, [id], []); search(); }, "sample");
    sample.title = "Find images like this one";
    sample.append(thumbnail(id, `Like ${id}`));
    return sample;
  }));
}

function drawMap(told) {
  if (!told.points || told.points.length < 3) return;
  const canvas = byId("points");
  const pen = canvas.getContext("2d");
  const kinds = [...new Set(told.points.map((point) => point.modality))].sort();
  const colour = (kind) => COLOURS[Math.min(kinds.indexOf(kind), COLOURS.length - 1)];
  const place = (point) => [(0.5 + 0.48 * point.x) * canvas.width, (0.5 - 0.48 * point.y) * canvas.height];
  pen.clearRect(0, 0, canvas.width, canvas.height);
  told.points.forEach((point) => {
    pen.fillStyle = colour(point.modality);
    pen.beginPath();
    pen.arc(...place(point), 3, 0, 7);
    pen.fill();
  });
  canvas.onclick = (event) => {
    const box = canvas.getBoundingClientRect();
    const at = [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
    const away = (point) => Math.hypot(place(point)[0] - at[0], place(point)[1] - at[1]);
    const nearest = told.points.reduce((best, point) => (away(point) < away(best) ? point : best));
    if (away(nearest) < NEAR) { askBy(null, [nearest.id], []); search(); }
  };
  const keys = kinds.filter(Boolean).map((kind) => {
    const key = element("span", "key", kind);
    const dot = element("i");
    dot.style.background = colour(kind);
    key.prepend(dot);
    return key;
  });
  const words = `A map: alike images lie near each other. The plane shows ${Math.round(100 * told.shown)} % of how their vectors differ; a click finds images like the nearest. `;
  byId("map").querySelector("figcaption").replaceChildren(words, ...keys);
  byId("map").hidden = false;
}

// What was found

function show(answer) {
  byId("start").hidden = byId("pages").hidden = true;
  flat = [];
  if (answer.error) {
    lists.replaceChildren();
    return say(answer.error, true);
  }
  const warnings = [...new Set(answer.lists.flatMap((list) => list.warnings || []))];
  say(warnings.join(" "), true);
  lists.classList.toggle("several", answer.lists.length > 1);
  lists.replaceChildren(...answer.lists.map(listOf));
  showCounts(answer.lists[0].facets || {});
  showPages(answer.lists);
}

function showPages(found) {
  const last = offset + Math.max(...found.map((list) => list.hits.length));
  byId("previous").disabled = !offset;
  byId("next").disabled = last > MOST_SKIPPED || found.every((list) => (list.total || 0) <= last || list.hits.length < k.value);
  byId("page").textContent = last > offset ? `${offset + 1} to ${last}` : "";
  byId("pages").hidden = byId("previous").disabled && byId("next").disabled;
}

function turn(pages) {
  search(true, Math.max(0, offset + pages * k.value));
  scrollTo(0, 0);
}

function listOf(list) {
  const section = element("section", "list");
  const title = element("h2", "", list.profile);
  if (!list.error) {
    const found = `${list.hits.length} of ${list.total.toLocaleString("en")} matches`;
    title.append(element("span", "", `${found} · ${list.milliseconds.toFixed(0)} ms`));
  }
  const hits = element("ol", "hits");
  list.hits.forEach((hit, row) => {
    const item = element("li");
    item.append(cardOf(hit, offset + row + 1));
    hits.append(item);
  });
  section.append(title);
  if (list.why) section.append(element("p", "why", list.why.told));
  section.append(hits);
  if (!list.hits.length) section.append(element("p", list.error ? "warn" : "quiet", list.error || "No hit."));
  return section;
}

function cardOf(hit, rank) {
  const place = flat.push(hit) - 1;
  const card = button(undefined, () => open(place), "hit");
  card.dataset.id = hit.id;
  card.addEventListener("pointerenter", () => mark(hit.id));
  card.addEventListener("pointerleave", () => mark(""));
  card.addEventListener("focus", () => mark(hit.id));
  if (about.pictures) card.append(thumbnail(hit.picture || hit.id, ""));
  const told = element("div", "told");
  const top = element("span", "rank", `${rank} · ${hit.score.toPrecision(4)}${hit.modality ? ` · ${hit.modality}` : ""}`);
  top.append(element("b", "verdict"));
  told.append(top, captionInto(element("p", "caption"), hit), fieldsOf(hit), barsOf(hit));
  if (Object.keys(hit.frames || {}).length > 1) told.append(framesOf(hit));
  card.append(told);
  showVerdict(card);
  return card;
}

// Fields of one's own that a hit has, in the order of the index.
function ownOf({ fields }) {
  return Object.keys(about.fields).filter((name) => name in fields).map((name) => [name, fields[name]]);
}

// Their values on one line, each cut by its style; in full in the opened hit.
function fieldsOf(hit) {
  const told = element("div", "fields");
  told.append(...ownOf(hit).map(([name, value]) => {
    const own = element("span", "", `${value}`);
    own.prepend(element("span", "quiet", `${name} `));
    return own;
  }));
  return told;
}

// A study's images, each with its closeness; the nearest is framed.
function framesOf(hit) {
  const strip = element("div", "frames");
  for (const [label, closeness] of Object.entries(hit.frames)) {
    const frame = element("span", label === hit.picture ? "best" : "", closeness.toFixed(2));
    frame.title = label;
    if (about.pictures) frame.prepend(thumbnail(label, label));
    strip.append(frame);
    if (label === hit.picture) requestAnimationFrame(() => { strip.scrollLeft = frame.offsetLeft - strip.offsetLeft - frame.offsetWidth; });
  }
  return strip;
}

function thumbnail(id, alt) {
  const picture = element("img");
  picture.src = pictureOf(id, "small");
  picture.alt = alt;
  picture.loading = "lazy";
  picture.addEventListener("error", () => picture.remove());
  return picture;
}

function captionInto(place, hit) {
  place.replaceChildren(...hit.caption.map(([piece, found]) => (found ? element("mark", "", piece) : piece)));
  if (!hit.caption.length) place.append(element("span", "quiet", "(no caption)"));
  return place;
}

function barsOf({ features, probability }) {
  const bars = element("div", "bars");
  if (probability !== undefined) addBar(bars, "probability", probability, probability);
  if ("bm25" in features) addBar(bars, "words", features.bm25, features.bm25 / FULL_BM25);
  if ("closeness" in features) {
    const share = (features.closeness - LEAST_CLOSENESS) / (1 - LEAST_CLOSENESS);
    addBar(bars, "picture", features.closeness, share);
  }
  return bars;
}

function addBar(bars, name, value, share) {
  const bar = element("i", name);
  const filled = element("b");
  filled.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
  bar.append(filled);
  bars.append(element("span", "", name), bar, element("span", "number", value.toFixed(value < 1 ? 3 : 1)));
}

function mark(id) {
  if (!lists.classList.contains("several")) return;
  document.querySelectorAll(".hit").forEach((card) => card.classList.toggle("same", card.dataset.id === id));
}

// One hit

function open(place) {
  const hit = flat[place];
  if (!hit) return;
  opened = place;
  const picture = byId("shown-picture");
  shown.classList.toggle("bare", !about.pictures);
  picture.hidden = !about.pictures;
  picture.alt = `Image of ${hit.picture || hit.id}`;
  if (about.pictures) picture.src = pictureOf(hit.picture || hit.id, "large");
  byId("where").setAttribute("aria-pressed", "false");
  captionInto(byId("shown-caption"), hit);
  const chance = hit.probability === undefined ? [] : [["probability", hit.probability]];
  const numbers = [["score", hit.score], ...chance, ...Object.entries(hit.features)];
  const rows = [...ownOf(hit), ...numbers.map(([name, value]) => [name, value.toPrecision(5)])];
  byId("shown-parts").replaceChildren(...rows.map(([name, value]) => {
    const row = element("tr");
    row.append(element("td", "quiet", name), element("td", "", value));
    return row;
  }));
  byId("shown-id").textContent = [hit.id, hit.modality, hit.group && `group ${hit.group}`].filter(Boolean).join(" · ");
  byId("shown-said").textContent = "";
  byId("like").hidden = byId("unlike").hidden = !about.encoder;
  byId("where").hidden = !about.encoder || !about.pictures || !text.value.trim();
  byId("judging").hidden = !about.judging || !judgedQuery();
  showVerdicts();
  if (!shown.open) shown.showModal();
}

function where() {
  const pressed = byId("where").getAttribute("aria-pressed") !== "true";
  byId("where").setAttribute("aria-pressed", pressed);
  const id = flat[opened].picture || flat[opened].id;
  const heat = new URLSearchParams({ id, text: text.value.trim() });
  byId("shown-picture").src = pressed ? `/heatmap?${heat}` : pictureOf(id, "large");
  byId("shown-said").textContent = pressed ? "Red: covering it makes the image less like the words, as the encoder sees it. No diagnosis." : "";
}

function example(wanted) {
  const { id } = flat[opened];
  const others = (ids) => ids.filter((each) => each !== id);
  askBy(image, wanted ? [...others(like), id] : others(like), wanted ? others(unlike) : [...others(unlike), id]);
  shown.close();
  search();
}

// Judging

function judgedQuery() {
  return text.value.trim() || (like.length ? `like:${like.join(" ")}` : "");
}

async function judge(relevant) {
  const asked = { query: judgedQuery(), document: flat[opened].id, relevant, who: byId("who").value.trim() };
  const headers = { "Content-Type": "application/json" };
  const answer = await ask("/judgements", { method: "POST", body: JSON.stringify(asked), headers });
  byId("shown-said").textContent = answer.error || "Kept.";
  if (!answer.error) judged.set(`${asked.query}\n${asked.document}`, relevant);
  showVerdicts();
}

function verdictOf(id) {
  return judged.get(`${judgedQuery()}\n${id}`);
}

function showVerdict(card) {
  const verdict = verdictOf(card.dataset.id);
  const [sign, words] = verdict === undefined ? ["", ""] : verdict ? [" ✓", "judged relevant"] : [" ✗", "judged not relevant"];
  const place = card.querySelector(".verdict");
  place.textContent = sign;
  place.setAttribute("aria-label", words);
}

function showVerdicts() {
  document.querySelectorAll(".hit").forEach(showVerdict);
  const verdict = flat[opened] && verdictOf(flat[opened].id);
  byId("relevant").setAttribute("aria-pressed", verdict > 0);
  byId("irrelevant").setAttribute("aria-pressed", verdict === 0);
}

// What asks

function askBy(newImage, newLike, newUnlike) {
  if (image !== newImage) file.value = "";
  [image, like, unlike] = [newImage, newLike, newUnlike];
  const chips = like.map((id) => chip(pictureOf(id, "small"), `like ${id}`, "", () => askBy(image, like.filter((each) => each !== id), unlike)));
  chips.push(...unlike.map((id) => chip(pictureOf(id, "small"), `unlike ${id}`, "unlike", () => askBy(image, like, unlike.filter((each) => each !== id)))));
  if (image) chips.push(chip(URL.createObjectURL(image), "the image that asks", "", () => askBy(null, like, unlike)));
  byId("examples").replaceChildren(...chips);
}

function chip(source, words, className, forget) {
  const item = element("li", className);
  const picture = element("img");
  picture.src = source;
  picture.alt = words;
  const off = button("×", () => { forget(); search(); });
  off.title = `Search without ${words}`;
  off.setAttribute("aria-label", off.title);
  item.append(picture, off);
  return item;
}

function takeImage(files) {
  const found = [...files].find((each) => each.type.startsWith("image/") || /\.dcm$/i.test(each.name) || !each.type);
  if (!found) return say("This file is not an image.", true);
  askBy(found, [], []);
  search();
}

function showFiltered() {
  const chosen = filters.size + nots.size + Object.keys(limits).length;
  byId("filtered").textContent = chosen ? ` (${chosen})` : "";
}

function showFacets() {
  byId("filters").hidden = !about.filters.length;
  showFiltered();
  byId("facets").replaceChildren(conditions(), limitLine(), ...Object.entries(about.facets).map(([field, values]) => {
    const group = element("fieldset");
    group.append(element("legend", "", field));
    group.append(...Object.entries(values).map(([value, count]) => facetOf(field, value, count)));
    return group;
  }));
}

// A box that asks for a value, and a button that excludes it; of the two at most one is on.
function facetOf(field, value, count) {
  const row = element("div", "facet");
  const label = element("label");
  const box = element("input");
  box.type = "checkbox";
  box.value = `${field}=${value}`;
  const not = button("not", () => choose(nots, filters), "not");
  not.setAttribute("aria-label", `Exclude ${field} ${value}`);
  not.title = not.getAttribute("aria-label");
  const showChoice = () => {
    box.checked = filters.has(box.value);
    not.setAttribute("aria-pressed", nots.has(box.value));
  };
  const choose = (chosen, other) => {
    if (!chosen.delete(box.value)) chosen.add(box.value);
    other.delete(box.value);
    showChoice();
    showFiltered();
    search();
  };
  box.addEventListener("change", () => choose(filters, nots));
  label.append(box, ` ${value} `, element("span", "quiet", count.toLocaleString("en")));
  row.append(label, not);
  showChoice();
  return row;
}

// What no box stands for, such as age>60: one line of conditions, a semicolon between them.
function conditions() {
  const boxed = (each) => { const [field, value] = each.split(/=(.*)/s); return value in (about.facets[field] || {}); };
  const label = element("label", "line", "Conditions ");
  const line = element("input");
  const ranged = Object.keys(about.fields).find((name) => ["int", "float"].includes(about.fields[name]));
  line.placeholder = `${ranged ? `${ranged}>60` : "concepts=C0032326"}; not source=...`;
  line.title = `Fields: ${about.filters.join(", ")}. Numbers and dates: >= > <= < = and 40..60. Excluded: not FIELD=VALUE.`;
  line.value = [...[...filters].filter((each) => !boxed(each)), ...[...nots].filter((each) => !boxed(each)).map((each) => `not ${each}`)].join("; ");
  line.addEventListener("change", () => {
    const told = line.value.split(";").map((each) => each.trim()).filter(Boolean);
    filters = new Set([...[...filters].filter(boxed), ...told.filter((each) => !each.startsWith("not "))]);
    nots = new Set([...[...nots].filter(boxed), ...told.filter((each) => each.startsWith("not ")).map((each) => each.slice(4).trim())]);
    showFiltered();
    search();
  });
  label.append(line);
  return label;
}

// Which of alike hits stays, and how good a hit must be.
function limitLine() {
  const line = element("div", "line limits");
  const group = element("select");
  const own = Object.keys(about.fields).filter((name) => ["keyword", "bool"].includes(about.fields[name]));
  group.append(new Option("every hit", ""), new Option("best hit of each study, case or article", "group_id"), ...own.map((name) => new Option(`best hit of each ${name}`, name)));
  line.append(limit("group", "Show", group));
  for (const [name, [words, step]] of Object.entries(LOWEST)) {
    if ((name === "min_closeness" && !about.vectors) || (name === "min_probability" && !about.probabilities)) continue;
    const number = element("input");
    Object.assign(number, { type: "number", step }, step === "any" ? {} : { min: 0, max: 1 });
    line.append(limit(name, words, number));
  }
  line.append(limit("why", "Explain document", Object.assign(element("input"), { placeholder: "id", maxLength: 1000 })));
  return line;
}

function limit(name, words, control) {
  const label = element("label", "", `${words} `);
  control.id = name;
  control.value = limits[name] || "";
  control.addEventListener("change", () => {
    delete limits[name];
    if (control.value) limits[name] = control.value;
    showFiltered();
    search();
  });
  label.append(control);
  return label;
}

function showCounts(found) {
  document.querySelectorAll("#facets input[type=checkbox]").forEach((box) => {
    const [field, value] = box.value.split(/=(.*)/s);
    if (field in found) box.parentElement.querySelector("span").textContent = (found[field][value] || 0).toLocaleString("en");
  });
}

const suggest = paused(async () => {
  const [, before, last] = text.value.match(/^(.*?)([^\s"+-]*)$/s);
  if (!about.suggesting || last.length < 2) return byId("suggestions").replaceChildren();
  const found = await ask(`/suggest?${new URLSearchParams({ prefix: last.slice(0, 100) })}`);
  byId("suggestions").replaceChildren(...(found.suggestions || []).map((each) => new Option(`${each.documents}`, before + each.text)));
});

form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
[profile, sort, k, operators].forEach((control) => control.addEventListener("change", () => search()));
const blendMoved = paused(() => search(false));
blend.addEventListener("input", () => { blend.dataset.moved = "yes"; blendMoved(); });
blend.addEventListener("change", () => search());
text.addEventListener("input", suggest);
file.addEventListener("change", () => { if (file.files.length) takeImage(file.files); });
byId("previous").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));
byId("close").addEventListener("click", () => shown.close());
byId("like").addEventListener("click", () => example(true));
byId("unlike").addEventListener("click", () => example(false));
byId("where").addEventListener("click", where);
byId("relevant").addEventListener("click", () => judge(1));
byId("irrelevant").addEventListener("click", () => judge(0));
shown.addEventListener("click", (event) => { if (event.target === shown) shown.close(); });
byId("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch("/session", { method: "POST", headers, body: JSON.stringify({ token: byId("token").value }) });
  byId("refused").textContent = answer.ok ? "" : "The token is wrong.";
  if (answer.ok) { byId("door").close(); begin(); }
});
window.addEventListener("popstate", restore);
byId("who").value = localStorage.getItem("who") || "";
byId("who").addEventListener("change", () => localStorage.setItem("who", byId("who").value.trim()));
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT)$/.test(document.activeElement.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !typing) { event.preventDefault(); text.select(); }
  if (!shown.open || typing) return;
  const act = {
    ArrowRight: () => open(opened + 1),
    ArrowLeft: () => open(opened - 1),
    h: () => byId("where").hidden || where(),
    r: () => byId("judging").hidden || judge(1),
    n: () => byId("judging").hidden || judge(0),
  }[event.key];
  if (act) act();
});
document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) takeImage(event.clipboardData.files); });
document.addEventListener("dragover", (event) => { event.preventDefault(); form.firstElementChild.classList.add("dropping"); });
document.addEventListener("dragleave", () => form.firstElementChild.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  form.firstElementChild.classList.remove("dropping");
  takeImage(event.dataTransfer.files);
});

async function begin() {
  const answer = await ask("/about");
  if (answer.error) return say(answer.error, true);
  about = answer;
  const comparable = COMPARED.filter((name) => about.profiles.includes(name)).length > 1;
  profile.replaceChildren(new Option(`default (${about.default})`, ""));
  if (comparable) profile.append(new Option(COMPARED.join(" | "), "compare"));
  about.profiles.forEach((name) => profile.append(new Option(name, name)));
  const sorts = [...Object.keys(about.fields).filter((name) => about.fields[name] !== "text"), ...Object.keys(about.facets)];
  const ways = sorts.flatMap((name) => [new Option(`${name}, ascending`, name), new Option(`${name}, descending`, `-${name}`)]);
  sort.replaceChildren(new Option("score", ""), ...ways);
  sort.parentElement.hidden = !sorts.length;
  document.querySelector(".file").hidden = !about.encoder;
  byId("about").textContent = `${about.documents.toLocaleString("en")} images${about.encoder ? ` · encoder ${about.encoder}` : comparable ? "" : " · words only"}`;
  fillStart();
  if (about.judging) {
    const kept = await ask("/judgements");
    judged = new Map((kept.judgements || []).map((each) => [`${each.query}\n${each.document}`, each.relevant]));
  }
  restore();
  text.focus();
}

begin();
