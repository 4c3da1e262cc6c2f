"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);

  const element = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children.filter((child) => child !== null));
    return made;
  };

  // On a phone every row is a card: each cell then names its own column.
  for (const table of document.querySelectorAll(".wide table")) {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    for (const row of table.tBodies[0].rows)
      [...row.cells].forEach((cell, place) => { if (place && cell.colSpan === 1) cell.dataset.label = names[place]; });
  }

  const metric = byId("metric");
  if (metric) {
    metric.addEventListener("change", () => {
      for (const cell of document.querySelectorAll("[data-metric]"))
        cell.hidden = metric.value ? cell.dataset.metric !== metric.value : !("own" in cell.dataset);
    });
  }
  if (!byId("topics")) return;

  const dot = (profile) => element("i", { class: "dot", style: `background:${data.colours[profile]}` });

  const picture = (id) => {
    const known = data.documents[id];
    if (!known || !known.picture) return null;
    return element("img", { src: known.picture, alt: known.caption, title: `${id}: ${known.caption}` });
  };

  // The list of queries: each with the rank at which every profile has its first right document.

  const stood = (run) => (run.rank === null ? "–" : String(run.rank));

  const entry = (asked, place) => {
    const ranks = Object.entries(asked.runs).map(([name, run]) =>
      element("span", { title: `${name}: ${run.rank === null ? "not found" : `rank ${run.rank}`}` }, dot(name), stood(run)));
    const made = element("button", { type: "button", class: "entry" },
      element("span", { class: "words" }, asked.text || `image ${asked.id}`),
      element("span", { class: "ranks" }, ...ranks));
    made.addEventListener("click", () => select(place));
    return element("li", {}, made);
  };

  // The query shown: what was asked, what is right, and the three result lists side by side.

  // What is not indexed is shown in grey: the first half, where second halves are searched.
  const caption = (id, halved) => {
    const { caption: text, half } = data.documents[id];
    if (!halved) return element("p", {}, text || "(no caption)");
    return element("p", {}, element("span", { class: "quiet" }, text.slice(0, half)), text.slice(half));
  };

  const hit = ([id, score, right, rank], halved) =>
    element("li", { class: right ? "hit right" : "hit", title: `${id}, score ${score}` },
      element("span", { class: "rank" }, String(rank)), picture(id), caption(id, halved));

  const list = (name, run, halved) => {
    const told = run.rank === null ? `not among the first ${run.depth}` : `right one at ${run.rank}`;
    const hits = run.hits.map((each, place) => {
      const made = hit(each, halved);
      if (place > 0 && each[3] > run.hits[place - 1][3] + 1) made.classList.add("further");
      return made;
    });
    if (!hits.length) hits.push(element("li", { class: "quiet" }, "no document matches"));
    return element("div", { class: "list" },
      element("h3", {}, dot(name), `${name} `, element("span", { class: run.rank === null ? "" : "found" }, told)),
      element("ol", { class: "hits" }, ...hits));
  };

  const right = (asked) => {
    const some = asked.relevant.slice(0, 4).map((id) => {
      const shown = picture(id);
      return shown || element("span", { class: "text" }, data.documents[id].caption);
    });
    const more = asked.relevant_count - some.length;
    return element("div", { class: "targets" }, element("h3", {}, asked.relevant_count === 1 ? "to be found" : "to be found, any of"),
      element("div", {}, ...some, more > 0 ? `and ${more} more` : null));
  };

  const topic = (asked) => {
    const image = asked.image ? picture(asked.image) : null;
    const said = [asked.why, asked.leaked && data.leaks[asked.leaked]].filter(Boolean);
    return element("article", { class: "topic" },
      element("div", { class: "query" }, image,
        element("div", {},
          element("p", {}, asked.text ? `“${asked.text}”` : `the image of ${asked.id}`),
          element("p", { class: "said" }, said.join(" · "))),
        right(asked)),
      element("div", { class: "lists" }, ...Object.entries(asked.runs).map(([name, run]) =>
        list(name, run, asked.protocol === "split-caption"))));
  };

  const protocol = byId("protocol");
  for (const name of new Set(data.topics.map((t) => t.protocol))) protocol.append(element("option", {}, name));
  if (data.headline) protocol.value = data.headline;

  let chosen = [];
  let current = 0;

  const select = (place, follow = true) => {
    current = Math.max(0, Math.min(place, chosen.length - 1));
    byId("topics").replaceChildren(...chosen.slice(current, current + 1).map(topic));
    byId("shown").textContent = chosen.length ? `${current + 1} of ${chosen.length}` : "no such query";
    byId("previous").disabled = current === 0;
    byId("next").disabled = current >= chosen.length - 1;
    const entries = byId("queries").querySelectorAll(".entry");
    entries.forEach((each, i) => each.setAttribute("aria-current", i === current));
    // Scrolls the list alone, never the page.
    const list = byId("queries");
    if (follow && entries[current])
      list.scrollTop = entries[current].offsetTop - list.offsetTop - list.clientHeight / 3;
  };

  const show = () => {
    const words = byId("words").value.toLowerCase().split(/\s+/).filter(Boolean);
    chosen = data.topics.filter((t) =>
      t.protocol === protocol.value
      && (!byId("why").value || t.why === byId("why").value)
      && words.every((word) => t.text.toLowerCase().includes(word)));
    byId("queries").replaceChildren(...chosen.map(entry));
    select(0);
  };

  for (const id of ["protocol", "why"]) byId(id).addEventListener("change", show);
  byId("words").addEventListener("input", show);
  byId("previous").addEventListener("click", () => select(current - 1));
  byId("next").addEventListener("click", () => select(current + 1));
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea") || event.ctrlKey || event.altKey || event.metaKey) return;
    const step = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    select(current + step);
  });
  show();
})();
