// Small parts of the page. Names and labels come from strangers: they are only ever text.

export const byId = (id) => document.getElementById(id);

export function make(kind, properties = {}, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const tail = `${two(whole % 60)}.${Math.floor((seconds - whole) * 10)}`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${tail}`;
}

export function percent(score) {
  return score === null || score === undefined ? "" : `${Math.round(score * 100)} %`;
}

const coloured = new Map();  // labels in the order in which they came, so that neighbours differ

export function colour(label) {
  if (!coloured.has(label)) coloured.set(label, coloured.size % 6);
  return `k${coloured.get(label)}`;
}

// One clip or video: a link, so that a second tab and the keyboard work as everywhere.
export function card({ href, video, at, title, lines, hint, isCurrent, span, given }) {
  const picture = make("span", { className: "picture" });
  const source = `thumbnail/${video}?t=${at}`;
  const image = make("img", { loading: "lazy", decoding: "async", alt: "", src: source });
  image.addEventListener("error", async () => {
    const reason = make("span", { textContent: "no picture" });
    picture.replaceChildren(reason);
    const answer = await fetch(source).catch(() => null);
    const fields = answer && !answer.ok ? await answer.json().catch(() => null) : null;
    if (fields && fields.error) reason.textContent = `no picture: ${fields.error}`;
  });
  picture.append(image);
  const words = make("span", { className: "words" }, make("b", { textContent: title }));
  for (const line of lines) if (line) words.append(make("span", { textContent: line }));
  const link = make("a", { className: "card", href, title: hint || title }, picture, words);
  link.dataset.video = video;
  if (span) Object.assign(link.dataset, { start: span.start_s, end: span.end_s });
  if (given) mark(link, given);
  if (isCurrent) link.setAttribute("aria-current", "true");
  return make("li", {}, link);
}

// Show on a card the label that a person has given; null for none.
export function mark(link, label) {
  link.classList.toggle("given", label !== null);
  const old = link.querySelector(".yours");
  if (old) old.remove();
  if (label !== null) {
    link.querySelector(".words").append(make("span", { className: "yours", textContent: `✓ ${label}` }));
  }
}
