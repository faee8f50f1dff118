// The clips or videos that a view lists.

import { filters, write } from "./address.js";
import { askJson } from "./ask.js";
import { byId, card, clock, percent } from "./elements.js";

let keeps = false;     // whether a click leaves the list as it is, to go through it
let present = null;  // AbortController of the list that is being asked for

export function keepList() { keeps = true; }

export async function list(view, first = 0) {
  if (present) present.abort();
  present = new AbortController();
  const signal = present.signal;
  const found = await answer(view, first, signal);
  byId("found").textContent = found.title;
  byId("how").textContent = [found.how, found.notice && `Without the index: ${found.notice}`]
    .filter(Boolean).join(" ");
  if (first) byId("results").append(...found.cards);
  else byId("results").replaceChildren(...found.cards);
  byId("more").hidden = !found.more;
  if (!found.cards.length && !first) byId("how").textContent = "Nothing is found.";
  return found;
}

async function answer(view, first, signal) {
  if (view.query || view.text || view.like) return nearest(view, signal);
  if (view.order || view.where || view.labels.length) return matching(view, first, signal);
  return videos(view, first, signal);
}

async function nearest(view, signal) {
  const query = filters(view);
  if (view.query) {
    query.set("query", view.query);
  } else if (view.text) {
    query.set("text", view.text);
  } else {
    const place = view.like.lastIndexOf("@");
    query.set("like", view.like.slice(0, place));
    query.set("t", view.like.slice(place + 1));
  }
  const found = await askJson(`api/search?${query}`, { signal });
  const at = view.query || view.text ? "" : ` at ${clock(found.of.start_s)}`;
  return {
    title: `Clips like ${found.of.name}${at}`, how: found.how, notice: found.notice, more: false,
    cards: found.hits.map((hit) => clip(view, hit)),
  };
}

async function matching(view, first, signal) {
  const query = filters(view);
  // Clips that have a label by now are left out there, and so do not count.
  const open = byId("results").querySelectorAll("a:not(.given)").length;
  query.set("first", view.order && first ? open : first);
  if (view.order) query.set("order", view.order);
  const found = await askJson(`api/clips?${query}`, { signal });
  return { title: view.order ? "Least sure clips" : "Clips", how: found.how, more: found.more,
    cards: found.hits.map((hit) => clip(view, hit)) };
}

async function videos(view, first, signal) {
  const query = new URLSearchParams({ first, name: view.name });
  const found = await askJson(`api/videos?${query}`, { signal });
  const cards = found.videos.map((one) => card({
    href: write({ ...view, video: one.video, t: 0, like: keeps ? "" : `${one.video}@0` }),
    video: one.video, at: Math.min(1, one.duration_s / 2), title: one.name, hint: one.uri,
    lines: [clock(one.duration_s)], isCurrent: one.video === view.video,
  }));
  return { title: `${found.total.toLocaleString("en")} videos`, how: "",
    more: first + cards.length < found.total, cards };
}

function clip(view, hit) {
  const score = hit.score === null ? "" : `likeness ${hit.score.toFixed(3)}`;
  const label = hit.shown === null ? "" : `${hit.shown} ${percent(hit.label_score)}`;
  // The list stays of a dropped clip, and where labels are given; otherwise a click makes the
  // clip the new question.
  const like = view.query || keeps ? view.like : `${hit.video}@${(hit.start_s + hit.end_s) / 2}`;
  return card({
    href: write({ ...view, like, video: hit.video, t: hit.start_s }),
    video: hit.video, at: (hit.start_s + hit.end_s) / 2, title: hit.name, hint: hit.uri,
    lines: [`${clock(hit.start_s)} – ${clock(hit.end_s)}`, score, label],
    span: hit, given: hit.given ?? hit.given_whole,
    isCurrent: hit.video === view.video && view.t >= hit.start_s && view.t < hit.end_s,
  });
}
