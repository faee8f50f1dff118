// The player: the file itself where the browser plays it, else stretches that the server converts.

import { ask } from "./ask.js";
import { byId } from "./elements.js";

const film = byId("video");
const note = byId("film-note");
let video = "";
let offset = 0;        // second of the video at which the loaded film begins
let duration = 0;
let isConverted = false;
let wanted = 0;        // second of the video to be shown once its film is loaded
let plays = false;
let load = 0;          // number of the present load: what comes late is left out
let objectUrl = "";
let onTime = () => {};

export function whenTimePasses(call) { onTime = call; }

export function now() {
  return film.readyState ? offset + film.currentTime : wanted;
}

export function show(id, t, seconds, play) {
  duration = seconds;
  if (id === video) {
    seek(t, play);
    return;
  }
  video = id;
  wanted = t;
  plays = play;
  loadFile();
}

export function close() {
  video = "";
  load += 1;
  film.pause();
  release();
  film.removeAttribute("src");
  film.load();
  note.textContent = "";
}

export function seek(t, play) {
  plays = play || !film.paused;
  wanted = t;
  if (isConverted && !(t >= offset && t < offset + film.duration)) {
    loadStretch(t);
  } else if (film.readyState) {
    film.currentTime = Math.max(0, t - offset);
    if (plays) start();
  }
}

function loadFile() {
  load += 1;
  isConverted = false;
  offset = 0;
  release();
  note.textContent = "";
  film.src = `file/${video}`;
}

async function loadStretch(t) {
  const mine = ++load;
  isConverted = true;
  wanted = t;
  note.textContent = "This browser does not play the file: a stretch is being converted …";
  try {
    const answer = await ask(`stretch/${video}?t=${t}`);
    const body = await answer.blob();
    if (mine !== load) return;
    release();
    objectUrl = URL.createObjectURL(body);
    offset = Number(answer.headers.get("vfeat-start-s"));
    film.src = objectUrl;
    note.textContent = "Converted for this browser, without sound, in stretches of 20 s.";
  } catch (error) {
    if (mine === load) note.textContent = `This video cannot be played: ${error.message}`;
  }
}

function release() {
  if (objectUrl) URL.revokeObjectURL(objectUrl);
  objectUrl = "";
}

function start() {
  film.play().catch(() => {});  // a browser may refuse before the first click
}

film.addEventListener("loadedmetadata", () => {
  if (!isConverted && film.videoWidth === 0) {  // sound alone: the codec of its pictures is unknown
    loadStretch(wanted);
    return;
  }
  film.dataset.offset = String(offset);
  film.currentTime = Math.max(0, wanted - offset);
  if (plays) start();
});
film.addEventListener("error", () => {
  if (!video || !film.getAttribute("src")) return;
  if (isConverted) note.textContent = "This video cannot be played: the converted film is damaged.";
  else loadStretch(film.readyState ? now() : wanted);
});
film.addEventListener("ended", () => {
  const next = offset + film.duration;
  if (isConverted && next < duration - 0.1) {
    plays = true;
    loadStretch(next);
  }
});
for (const name of ["timeupdate", "seeked"]) film.addEventListener(name, () => onTime(now()));
