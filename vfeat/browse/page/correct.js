// Labels that a person gives: of the clip in the player, or of its whole video.

import { askJson } from "./ask.js";
import { byId, clock, make, percent } from "./elements.js";

const DIGITS = 9;       // labels that have a key of their own
let clip = null;        // the clip that is judged, as the server has it
let place = null;       // { video, t } of it
let suggestion = null;  // what predictions call the whole video
let names = [];         // labels to choose from, those of the dataset first
let onGiven = () => {};
let onProblem = () => {};
let asked = 0;

export function start(labels, given, problem) {
  onGiven = given;
  onProblem = problem;
  names = labels;
  byId("correct").hidden = false;
  byId("progress").hidden = false;
  askJson("api/labels").then(progress).catch(problem);
}

export function labels(found) {
  names = found;
  choices();
}

// Until the clip at the second is known no key labels anything: it would label another one.
export async function judge(video, t) {
  const mine = ++asked;
  place = { video, t };
  clip = null;
  byId("judged").textContent = "…";
  try {
    const found = await askJson(`api/clip/${encodeURIComponent(video)}?t=${t}`);
    if (mine !== asked) return;
    clip = found;
    draw();
  } catch (error) {
    if (mine === asked) byId("judged").textContent = error.message;
  }
}

export function suggest(whole) {
  suggestion = whole;
  draw();
}

export function leave() {
  asked += 1;
  clip = place = null;
}

function isWhole() {
  return byId("of-video").checked;
}

function proposed() {
  if (isWhole()) return suggestion;
  return clip.label === null ? null : { label: clip.label, score: clip.score };
}

function draw() {
  if (!clip) return;
  const best = proposed();
  const given = isWhole() ? clip.given_whole : clip.given;
  byId("judged").textContent = isWhole()
    ? "The whole video" : `The clip ${clock(clip.start_s)} – ${clock(clip.end_s)}`;
  const by = isWhole() ? "predicted" : "in the dataset";
  byId("judged").append(best ? `, ${by}: ${best.label} ${percent(best.score)}` : "");
  byId("confirm").disabled = !best;
  byId("confirm-name").textContent = best ? best.label : "it";
  byId("given").textContent = given === null ? "no label of yours yet" : `yours: ${given}`;
  byId("given").classList.toggle("has", given !== null);
  byId("take-away").hidden = given === null;
  for (const button of byId("choices").children) {
    button.setAttribute("aria-pressed", String(button.dataset.label === given));
  }
}

function choices() {
  byId("choices").replaceChildren(...names.slice(0, DIGITS).map((label, number) => {
    const key = make("kbd", { textContent: String(number + 1) });
    const button = make("button", { type: "button" }, key, ` ${label}`);
    button.dataset.label = label;
    button.addEventListener("click", () => give(label));
    return button;
  }));
  byId("known-labels").replaceChildren(...names.map((label) => make("option", { value: label })));
  draw();
}

async function give(label) {
  if (!clip || label === null) return;
  const body = { ...place, scope: isWhole() ? "video" : "clip", label };
  const mine = place;
  try {
    const found = await askJson("api/labels", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    onProblem(null);
    if (mine === place) {
      clip = found;
      draw();
    }
    byId("label").value = "";
    progress(found);
    onGiven(mine.video, found, body.scope, byId("advance").checked && label !== "");
  } catch (error) {
    onProblem(error);
  }
}

function progress(found) {
  const counts = found.labels.map((one) => `${one.shown} ${one.count.toLocaleString("en")}`);
  const shown = counts.slice(0, 12).join(", ") + (counts.length > 12 ? ", …" : "");
  byId("count").textContent = `${found.file}: ${found.total.toLocaleString("en")} labelled`
    + (counts.length ? ` (${shown})` : "");
  const others = found.labels.map((one) => one.label).filter((label) => !names.includes(label));
  if (others.length) names = [...names, ...others];
  choices();
}

// Keys of the page that are about labels; whether this was one.
export function key(name) {
  if (!clip) return false;
  if (name === "c" && !byId("confirm").disabled) byId("confirm").click();
  else if (name === "l") byId("label").focus();
  else if (name === "w") byId(isWhole() ? "of-clip" : "of-video").click();
  else if (/^[1-9]$/.test(name) && names[Number(name) - 1]) give(names[Number(name) - 1]);
  else return false;
  return true;
}

byId("confirm").addEventListener("click", () => {
  const best = proposed();
  if (best) give(best.label);
});
byId("take-away").addEventListener("click", () => give(""));
byId("give").addEventListener("submit", (event) => {
  event.preventDefault();
  const label = byId("label").value.trim();
  if (!label) return;
  byId("label").blur();  // the keys of the page work again
  give(label);
});
for (const one of ["of-clip", "of-video"]) byId(one).addEventListener("change", draw);
