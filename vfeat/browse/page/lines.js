// The time lines under the player: labels of the clips, and those that heads predicted.

import { byId, clock, colour, make, percent } from "./elements.js";

let marks = [];
let length = 1;

export function draw(fields, seek) {
  length = Math.max(fields.duration_s, 1e-3);
  marks = [];
  const lines = fields.lines.length
    ? fields.lines : [{ name: "time (no labels)", whole: [], stretches: [], left_out: 0 }];
  byId("lines").replaceChildren(...lines.map((line) => draw_one(line, seek)));
}

export function mark(t) {
  for (const one of marks) one.style.left = `${Math.min(100, (t / length) * 100)}%`;
}

function draw_one(line, seek) {
  const whole = line.whole.map((one) => `${one.label} ${percent(one.score)}`).join(", ");
  const left = line.left_out ? ` (${line.left_out} short ones not drawn)` : "";
  const title = `${line.name}${whole ? `: ${whole}` : ""}${left}`;
  const track = make("div", { className: "track" });
  track.setAttribute("role", "group");
  track.setAttribute("aria-label", `${title}; arrow keys move between stretches`);
  const buttons = line.stretches.map((one, place) => stretch(one, place, seek));
  const now = make("div", { className: "now" });
  marks.push(now);
  track.append(...buttons, now);
  track.addEventListener("click", (event) => {
    if (event.target !== track) return;
    const box = track.getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * length);
  });
  track.addEventListener("keydown", (event) => move(event, buttons));
  return make("div", { className: "line" }, make("p", { className: "soft", textContent: title }),
    track);
}

function stretch(one, place, seek) {
  const text = `${one.label}, ${clock(one.start_s)} to ${clock(one.end_s)}, ${percent(one.score)}`;
  const button = make("button", {
    type: "button", className: colour(one.label), textContent: one.label, title: text,
    tabIndex: place ? -1 : 0,
  });
  button.setAttribute("aria-label", text);
  button.style.left = `${(one.start_s / length) * 100}%`;
  button.style.width = `${((one.end_s - one.start_s) / length) * 100}%`;
  button.addEventListener("click", () => seek(one.start_s));
  return button;
}

function move(event, buttons) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const next = buttons[buttons.indexOf(document.activeElement) + step];
  if (!step || !next) return;
  event.preventDefault();
  for (const one of buttons) one.tabIndex = one === next ? 0 : -1;
  next.focus();
}
