"use strict";
for (const figure of document.querySelectorAll(".map")) {
  const canvas = figure.querySelector("canvas");
  const tip = figure.querySelector(".tip");
  const told = figure.querySelector("[aria-live]");
  const { points, pictures } = JSON.parse(figure.querySelector("script").textContent);
  const order = points.map((_, i) => i).sort((a, b) => points[a][2] - points[b][2] || points[a][0] - points[b][0]);
  const PAD = 14;
  let chosen = -1;

  const place = (point) => [
    PAD + point[0] * (canvas.clientWidth - 2 * PAD),
    canvas.clientHeight - PAD - point[1] * (canvas.clientHeight - 2 * PAD),
  ];

  function draw() {
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const radius = points.length > 600 ? 3 : points.length > 150 ? 4 : 6;
    points.forEach((point, i) => {
      const [x, y] = place(point);
      pen.beginPath();
      pen.arc(x, y, i === chosen ? radius + 4 : radius, 0, 2 * Math.PI);
      pen.fillStyle = style.getPropertyValue(point[2] < 0 ? "--other" : "--k" + point[2]);
      pen.globalAlpha = i === chosen ? 1 : 0.8;
      pen.fill();
      if (i === chosen) {
        pen.lineWidth = 2;
        pen.strokeStyle = style.getPropertyValue("--ink");
        pen.stroke();
      }
    });
  }

  function choose(i, speak) {
    chosen = i;
    draw();
    tip.hidden = i < 0;
    if (i < 0) return;
    const [, , , text, label, picture] = points[i];
    tip.replaceChildren();
    if (picture >= 0) {
      const image = new Image();
      image.alt = "";
      image.src = "data:image/jpeg;base64," + pictures[picture];
      tip.append(image);
    }
    const strong = document.createElement("b");
    strong.textContent = label;
    const line = document.createElement("div");
    line.textContent = text;
    tip.append(strong, line);
    const [x, y] = place(points[i]);
    const below = y < canvas.clientHeight / 2;
    tip.style.left = Math.max(0, Math.min(x + 12, canvas.clientWidth - tip.offsetWidth)) + "px";
    tip.style.top = (below ? y + 14 : Math.max(0, y - 14 - tip.offsetHeight)) + "px";
    if (speak) told.textContent = label ? label + ": " + text : text;
  }

  function nearest(event) {
    const box = canvas.getBoundingClientRect();
    let best = -1, least = 24 * 24;
    points.forEach((point, i) => {
      const [x, y] = place(point);
      const far = (x - event.clientX + box.left) ** 2 + (y - event.clientY + box.top) ** 2;
      if (far < least) { least = far; best = i; }
    });
    return best;
  }

  canvas.addEventListener("pointermove", (event) => choose(nearest(event), false));
  canvas.addEventListener("pointerdown", (event) => choose(nearest(event), true));
  canvas.addEventListener("pointerleave", () => choose(-1, false));
  canvas.addEventListener("blur", () => choose(-1, false));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") choose(-1, false);
    if (!step) return;
    event.preventDefault();
    const at = order.indexOf(chosen);
    const next = at < 0 ? (step > 0 ? 0 : order.length - 1) : (at + step + order.length) % order.length;
    choose(order[next], true);
  });
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
