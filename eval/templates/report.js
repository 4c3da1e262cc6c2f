"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);

  const element = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  const metric = byId("metric");
  if (metric) {
    metric.addEventListener("change", () => {
      for (const cell of document.querySelectorAll("[data-metric]"))
        cell.hidden = cell.dataset.metric !== metric.value;
    });
  }
  if (!byId("topics")) return;

  const picture = (id) => {
    const known = data.documents[id];
    if (!known || !known.picture) return null;
    return element("img", { src: known.picture, alt: known.caption, title: `${id}: ${known.caption}` });
  };

  const hit = ([id, score, right], place) => {
    const known = data.documents[id];
    const title = `${id}, score ${score}: ${known.caption}`;
    const made = element("li", { class: right ? "hit right" : "hit", title });
    const image = picture(id);
    if (image) made.append(image);
    made.append(element("span", { class: "rank" }, String(place + 1)), element("p", {}, known.caption));
    return made;
  };

  const list = ([name, run]) => {
    const stood = run.rank === null ? `not among the first ${run.depth}` : `right one at ${run.rank}`;
    const label = element("span", run.rank === null ? {} : { class: "found" }, stood);
    const pictures = run.hits.some(([id]) => data.documents[id].picture);
    return element("div", { class: "list" },
      element("h3", {}, `${name} `, label),
      element("ol", { class: pictures ? "hits" : "hits texts" }, ...run.hits.map(hit)));
  };

  const topic = (asked) => {
    const query = element("div", { class: "query" });
    const image = asked.image && picture(asked.image);
    if (image) query.append(image);
    const said = [asked.protocol, asked.why, `${asked.relevant_count} right`, asked.leaked && `leaked: ${asked.leaked}`];
    query.append(element("div", {},
      element("p", {}, asked.text || `the image of ${asked.id}`),
      element("p", { class: "said" }, said.filter(Boolean).join(" · "))));
    const targets = asked.relevant.map(picture).filter(Boolean).slice(0, 3);
    if (targets.length) query.append(element("div", { class: "targets", title: "to be found" }, ...targets));
    return element("article", { class: "topic" }, query,
      element("div", { class: "lists" }, ...Object.entries(asked.runs).map(list)));
  };

  const protocol = byId("protocol");
  for (const name of new Set(data.topics.map((t) => t.protocol))) protocol.append(element("option", {}, name));
  if (data.headline) protocol.value = data.headline;

  const PAGE = 6;
  let limit = PAGE;
  const show = () => {
    const words = byId("words").value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = data.topics.filter((t) =>
      t.protocol === protocol.value
      && (!byId("why").value || t.why === byId("why").value)
      && words.every((word) => t.text.toLowerCase().includes(word)));
    byId("topics").replaceChildren(...chosen.slice(0, limit).map(topic));
    byId("shown").textContent = `${Math.min(limit, chosen.length)} of ${chosen.length}`;
    byId("more").hidden = chosen.length <= limit;
  };
  const restart = () => { limit = PAGE; show(); };
  for (const id of ["protocol", "why"]) byId(id).addEventListener("change", restart);
  byId("words").addEventListener("input", restart);
  byId("more").addEventListener("click", () => { limit += PAGE; show(); });
  show();
})();
