"use strict";

// Beyond a BM25 of 20 most words of a short query are there; a closeness of 1/3 points away.
const FULL_BM25 = 20;
const LEAST_CLOSENESS = 1 / 3;
const COMPARED = ["lexical", "vector", "hybrid"];

const byId = (id) => document.getElementById(id);
const [form, text, file, profile, modality, k, said, lists] =
  ["ask", "text", "file", "profile", "modality", "k", "said", "lists"].map(byId);

let about = { profiles: [], pictures: false, encoder: "" };
let image = null;   // the File that asks
let like = "";      // the id of the document that asks
let flat = [];      // the hits on screen, in order
let opened = -1;    // which of them is in the dialog
let latest = 0;     // number of the last search: a slow answer to an older one is dropped

function element(name, className, content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

function pictureOf(id, size) {
  return `/images/${encodeURIComponent(id)}?size=${size}`;
}

function say(sentence, warn = false) {
  said.textContent = sentence;
  said.classList.toggle("warn", warn);
}

function chosenProfiles() {
  if (profile.value === "compare") return COMPARED.filter((name) => about.profiles.includes(name));
  return profile.value ? [profile.value] : [];
}

function parameters() {
  const asked = new URLSearchParams();
  if (text.value.trim()) asked.set("text", text.value.trim());
  if (like) asked.set("like", like);
  if (modality.value) asked.set("filter", `modality=${modality.value}`);
  asked.set("k", k.value);
  chosenProfiles().forEach((name) => asked.append("profile", name));
  return asked;
}

async function search(remember = true) {
  const asked = parameters();
  if (!asked.has("text") && !like && !image) return start();
  if (remember) history.pushState(null, "", image ? location.pathname : address());
  const number = ++latest;
  say("Searching …");
  let answer;
  try {
    const how = image ? { method: "POST", body: image } : {};
    const response = await fetch(`/search?${asked}`, how);
    answer = await response.json();
  } catch {
    answer = { error: "The server does not answer: is it still running?" };
  }
  if (number === latest) show(answer);
}

function address() {
  const state = parameters();
  state.delete("profile");
  if (profile.value) state.set("ranking", profile.value);
  return `#${state}`;
}

function restore() {
  const state = new URLSearchParams(location.hash.slice(1));
  text.value = state.get("text") || "";
  profile.value = state.get("ranking") || "";
  modality.value = (state.get("filter") || "").replace("modality=", "");
  k.value = state.get("k") || "12";
  if (!profile.value) profile.value = "";
  askBy(null, state.get("like") || "");
  search(false);
}

function start() {
  latest++;
  say("");
  flat = [];
  lists.replaceChildren();
  byId("start").hidden = false;
}

function show(answer) {
  byId("start").hidden = true;
  flat = [];
  if (answer.error) {
    lists.replaceChildren();
    return say(answer.error, true);
  }
  const warnings = [...new Set(answer.lists.flatMap((list) => list.warnings || []))];
  say(warnings.join(" "), true);
  lists.classList.toggle("several", answer.lists.length > 1);
  lists.replaceChildren(...answer.lists.map(listOf));
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
    item.append(cardOf(hit, row + 1));
    hits.append(item);
  });
  section.append(title, hits);
  if (!list.hits.length) section.append(element("p", "quiet", list.error || "No hit."));
  return section;
}

function cardOf(hit, rank) {
  const card = element("button", "hit");
  card.type = "button";
  card.dataset.id = hit.id;
  const place = flat.push(hit) - 1;
  card.addEventListener("click", () => open(place));
  card.addEventListener("pointerenter", () => mark(hit.id));
  card.addEventListener("pointerleave", () => mark(""));
  if (about.pictures) card.append(pictureElement(hit));
  const told = element("div", "told");
  told.append(element("span", "rank", `${rank} · ${hit.score.toPrecision(4)}${hit.modality ? ` · ${hit.modality}` : ""}`));
  told.append(captionInto(element("p", "caption"), hit), barsOf(hit.features));
  card.append(told);
  return card;
}

function pictureElement(hit) {
  const picture = element("img");
  picture.src = pictureOf(hit.id, "small");
  picture.alt = "";
  picture.loading = "lazy";
  picture.addEventListener("error", () => picture.remove());
  return picture;
}

function captionInto(place, hit) {
  place.replaceChildren(...hit.caption.map(([piece, found]) => (found ? element("mark", "", piece) : piece)));
  if (!hit.caption.length) place.append(element("span", "quiet", "(no caption)"));
  return place;
}

function barsOf(features) {
  const bars = element("div", "bars");
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

function open(place) {
  const hit = flat[place];
  if (!hit) return;
  opened = place;
  const dialog = byId("shown");
  const picture = byId("shown-picture");
  dialog.classList.toggle("bare", !about.pictures);
  picture.hidden = !about.pictures;
  if (about.pictures) picture.src = pictureOf(hit.id, "large");
  captionInto(byId("shown-caption"), hit);
  const rows = [["score", hit.score], ...Object.entries(hit.features)];
  byId("shown-parts").replaceChildren(...rows.map(([name, value]) => {
    const row = element("tr");
    row.append(element("td", "quiet", name), element("td", "", value.toPrecision(5)));
    return row;
  }));
  byId("shown-id").textContent = [hit.id, hit.modality, hit.group && `group ${hit.group}`].filter(Boolean).join(" · ");
  byId("like").hidden = !about.encoder;
  if (!dialog.open) dialog.showModal();
}

function askBy(newImage, newLike) {
  const picture = byId("asking-picture");
  if (picture.src.startsWith("blob:")) URL.revokeObjectURL(picture.src);
  image = newImage;
  like = newLike;
  byId("asking").hidden = !image && !like;
  if (image) picture.src = URL.createObjectURL(image);
  else if (like) picture.src = pictureOf(like, "small");
  file.value = "";
}

function takeImage(files) {
  const found = [...files].find((each) => each.type.startsWith("image/") || /\.dcm$/i.test(each.name) || !each.type);
  if (!found) return say("That is no image.", true);
  askBy(found, "");
  search();
}

form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
[profile, modality, k].forEach((control) => control.addEventListener("change", () => search()));
file.addEventListener("change", () => { if (file.files.length) takeImage(file.files); });
byId("forget").addEventListener("click", () => { askBy(null, ""); search(); });
byId("close").addEventListener("click", () => byId("shown").close());
byId("like").addEventListener("click", () => {
  askBy(null, flat[opened].id);
  text.value = "";
  byId("shown").close();
  search();
});
byId("shown").addEventListener("click", (event) => { if (event.target.id === "shown") byId("shown").close(); });
window.addEventListener("popstate", restore);
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT)$/.test(document.activeElement.tagName);
  if (event.key === "/" && !typing) { event.preventDefault(); text.select(); }
  if (!byId("shown").open) return;
  if (event.key === "ArrowRight") open(opened + 1);
  if (event.key === "ArrowLeft") open(opened - 1);
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
  about = await (await fetch("/about")).json();
  const comparable = COMPARED.filter((name) => about.profiles.includes(name)).length > 1;
  profile.append(new Option(`default (${about.default})`, ""));
  if (comparable) profile.append(new Option(COMPARED.join(" | "), "compare"));
  about.profiles.forEach((name) => profile.append(new Option(name, name)));
  const kinds = Object.entries(about.facets.modality || {});
  kinds.forEach(([name, count]) => modality.append(new Option(`${name} (${count})`, name)));
  byId("modality-label").hidden = kinds.length < 2;
  document.querySelector(".file").hidden = !about.encoder;
  byId("about").textContent = `${about.documents.toLocaleString("en")} images${about.encoder ? ` · encoder ${about.encoder}` : comparable ? "" : " · words only"}`;
  restore();
  text.focus();
}

begin();
