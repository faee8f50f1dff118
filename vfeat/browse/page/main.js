// The page: reads its address, shows that view, and changes the address when something is chosen.

import { filters, read, write } from "./address.js";
import { askJson } from "./ask.js";
import * as correct from "./correct.js";
import { byId, card, clock, make, mark } from "./elements.js";
import * as lines from "./lines.js";
import * as player from "./player.js";
import { keepList, list } from "./results.js";

const TYPING_MS = 200;
let view = read();
let listed = null;  // what the list follows from, as text: it is asked for when that changes
let shown = "";     // video in the player
let known = null;   // the labels on the page, as text
let takesLabels = false;

function problem(error) {
  if (error && error.name === "AbortError") return;
  byId("problem").textContent = error ? error.message : "";
  byId("problem").hidden = !error;
}

function go(next, { replace = false, play = false } = {}) {
  const href = write(next);
  if (replace) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  render(play);
}

async function render(play) {
  view = read();
  if (view.video && !takesLabels && !view.like && !view.query && !view.text && !view.order && !view.where
      && !view.labels.length) {
    view.like = `${view.video}@${view.t}`;
  }
  byId("where").value = document.activeElement === byId("where") ? byId("where").value : view.where;
  byId("name").value = document.activeElement === byId("name") ? byId("name").value : view.name;
  if (document.activeElement !== byId("text")) byId("text").value = view.text;
  byId("name").disabled = Boolean(
    view.query || view.text || view.like || view.order || view.where || view.labels.length);
  byId("unsure").setAttribute("aria-current", String(view.order === "unsure"));
  chips();
  problem(null);
  await Promise.all([renderVideo(play), renderList()].map((part) => part.catch(problem)));
}

async function renderList() {
  const follows = JSON.stringify([view.query, view.text, view.like, view.order, view.name, filters(view).toString()]);
  if (follows !== listed) {
    byId("status").textContent = "Searching …";
    try {
      await list(view);
      listed = follows;
    } finally {
      byId("status").textContent = "";
    }
  }
  for (const link of byId("results").querySelectorAll("a[aria-current]")) {
    link.removeAttribute("aria-current");
  }
  const here = cards()[current()];
  if (here) here.setAttribute("aria-current", "true");
}

async function renderVideo(play) {
  document.querySelector("main").classList.toggle("playing", Boolean(view.video));
  byId("player").hidden = !view.video;
  byId("close").href = write({ ...view, video: "", like: "", t: 0 });
  if (!view.video) {
    shown = "";
    player.close();
    correct.leave();
    return;
  }
  const { video, t } = view;
  if (video === shown) {
    player.seek(t, play);
    if (takesLabels) await correct.judge(video, t);
    return;
  }
  shown = video;
  player.show(video, t, Infinity, play);  // the picture need not wait for the lines
  correct.suggest(null);
  const judged = takesLabels ? correct.judge(video, t) : null;
  const fields = await askJson(`api/video/${encodeURIComponent(video)}`);
  if (video !== view.video) return;
  player.show(video, view.t, fields.duration_s, play);
  byId("playing").textContent = fields.name;
  byId("address").textContent = fields.uri;
  document.title = `${fields.name} – vfeat browse`;
  lines.draw(fields, (at) => go({ ...view, t: at }, { replace: true, play: true }));
  lines.mark(t);
  copies(fields.copies);
  const wholes = fields.lines.flatMap((line) => line.whole);
  correct.suggest(wholes.length ? wholes[0] : null);
  await judged;
}

// Going through the list: the cards, and which of them is in the player.
function cards() {
  return [...byId("results").querySelectorAll("a.card")];
}

function current() {
  return cards().findIndex(({ dataset }) => dataset.video === view.video && (!dataset.start
    || (view.t >= Number(dataset.start) && view.t < Number(dataset.end))));
}

function step(by, wanted = () => true) {
  const all = cards();
  const at = current();
  for (let next = at < 0 ? 0 : at + by; next >= 0 && next < all.length; next += by) {
    if (wanted(all[next])) {
      all[next].click();
      all[next].scrollIntoView({ block: "nearest" });
      return;
    }
  }
  if (by > 0) byId("status").textContent = "The end of the list.";
}

function given(video, found, scope, advance) {
  for (const link of cards()) {
    const { start, end } = link.dataset;
    if (link.dataset.video !== video) continue;
    if (!start) {
      if (scope === "video") mark(link, found.given_whole);
    } else if (Number(start) === found.start_s && Number(end) === found.end_s) {
      mark(link, found.given ?? found.given_whole);
    } else if (scope === "video" && found.given_whole !== null) {
      mark(link, found.given_whole);
    }
  }
  if (advance) step(1, (link) => !link.classList.contains("given"));
}

function copies(found) {
  byId("copies").hidden = found === null;
  if (found === null) return;
  const cards = found.map((copy) => card({
    href: write({ ...view, like: "", query: "", text: "", video: copy.video, t: copy.other_start_s }),
    video: copy.video, at: (copy.other_start_s + copy.other_end_s) / 2, title: copy.name,
    hint: copy.uri,
    lines: [
      `${clock(copy.start_s)} – ${clock(copy.end_s)} of this video`,
      `is ${clock(copy.other_start_s)} – ${clock(copy.other_end_s)} there`,
      `score ${copy.score.toFixed(2)}, speed ${copy.speed.toFixed(2)}`,
    ],
  }));
  byId("copy-list").replaceChildren(...cards);
  if (!cards.length) {
    byId("copy-list").append(make("li", { textContent: "No copy of this video is known." }));
  }
}

async function about() {
  const found = await askJson("api/dataset");
  byId("about").textContent = `${found.name}: ${found.videos.toLocaleString("en")} videos`;
  document.querySelector(".drop").hidden = !found.takes_clips;
  document.querySelector(".words").hidden = !found.takes_words;
  if (found.takes_labels && !takesLabels) {
    takesLabels = true;
    keepList();
    correct.start(found.labels.map((one) => one.label), given, problem);
  }
  const text = JSON.stringify(found.labels);
  byId("labels").hidden = !found.labels.length && !view.labels.length;
  byId("counting").textContent = found.error || (found.done ? "" : "(being counted …)");
  if (text !== known) {
    known = text;
    const names = found.labels.map((one) => one.label);
    const others = view.labels.filter((label) => !names.includes(label));
    byId("chips").replaceChildren(
      ...others.map((label) => chip(label, label, null)),
      ...found.labels.map((one) => chip(one.label, one.shown, one.clips)),
    );
    if (takesLabels) correct.labels(names);
    chips();
  }
  if (!found.done) setTimeout(() => about().catch(problem), 1000);
}

function chip(label, text, clips) {
  const count = clips === null ? "" : ` ${clips.toLocaleString("en")}`;
  const button = make("button", { type: "button", textContent: text + count });
  button.dataset.label = label;
  button.addEventListener("click", () => {
    const labels = view.labels.includes(label)
      ? view.labels.filter((other) => other !== label) : [...view.labels, label];
    go({ ...view, labels });
  });
  return button;
}

function chips() {
  for (const button of byId("chips").children) {
    button.setAttribute("aria-pressed", String(view.labels.includes(button.dataset.label)));
  }
}

async function drop(file) {
  problem(null);
  byId("status").textContent = `Encoding ${file.name} …`;
  try {
    const name = encodeURIComponent(file.name);
    const found = await askJson(`api/query?name=${name}`, { method: "POST", body: file });
    go({ ...view, query: found.query, text: "", like: "", video: "", t: 0, name: "" });
  } catch (error) {
    problem(error);
  } finally {
    byId("status").textContent = "";
  }
}

let typing = 0;
function typed(name) {
  clearTimeout(typing);
  typing = setTimeout(() => go({ ...view, [name]: byId(name).value }, { replace: true }), TYPING_MS);
}
for (const name of ["where", "name"]) byId(name).addEventListener("input", () => typed(name));
byId("text").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    go({ ...view, text: byId("text").value.trim(), query: "", like: "" }, { replace: true });
  }, TYPING_MS);
});
byId("search").addEventListener("submit", (event) => event.preventDefault());
byId("file").addEventListener("change", (event) => {
  if (event.target.files.length) drop(event.target.files[0]);
  event.target.value = "";
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files.length) drop(event.dataTransfer.files[0]);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.card, #close, #home, #unsure");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) {
    return;
  }
  event.preventDefault();
  history.pushState(null, "", link.getAttribute("href"));
  render(true);
  if (link.classList.contains("card")) byId("player").scrollIntoView({ block: "nearest" });
});
document.addEventListener("keydown", (event) => {
  const isText = event.target.matches("input:not([type=radio], [type=checkbox]), textarea, select");
  if (isText || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") byId("where").focus();
  else if (event.key === "n" || event.key === "p") step(event.key === "n" ? 1 : -1);
  else if (!takesLabels || !correct.key(event.key)) return;
  event.preventDefault();
});
byId("like").addEventListener("click", () => {
  const t = player.now();
  go({ ...view, t, query: "", text: "", like: `${view.video}@${t}` });
});
byId("copy").addEventListener("click", async () => {
  history.replaceState(null, "", write({ ...read(), t: player.now() }));
  try {
    await navigator.clipboard.writeText(location.href);
    byId("film-note").textContent = "The address of this second is in the clipboard.";
  } catch {
    byId("film-note").textContent = "The address of this second is in the address bar.";
  }
});
byId("more").addEventListener("click", () => {
  list(view, byId("results").children.length).catch(problem);
});
addEventListener("popstate", () => render(false));
player.whenTimePasses(lines.mark);

await about().catch(problem);  // whether labels are taken changes what is listed
render(true);
