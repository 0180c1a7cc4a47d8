// Elements are made by the functions below alone: texts are set as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

const el = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);

const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

const text = (value, attributes = {}) => el("span", { class: "text", ...attributes }, value);

function styled(element, styles) {
  for (const [name, value] of Object.entries(styles)) element.style.setProperty(name, value);
  return element;
}

const NONE = "–";
const known = (value) => value !== null && value !== undefined;

function number(value, digits = 0) {
  if (!known(value)) return NONE;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const percent = (share, digits = 0) => (known(share) ? `${number(100 * share, digits)}\u00a0%` : NONE);

// from -5 to 5, with its sign
function score(value) {
  if (!known(value)) return NONE;
  const rounded = number(Math.abs(value), 2);
  return value < -0.004 ? `−${rounded}` : value > 0.004 ? `+${rounded}` : rounded;
}

// seconds as 2:05 or 1:02:05
function clock(seconds) {
  if (!known(seconds)) return NONE;
  const all = Math.round(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

// with about two digits, in the unit that fits
function hours(seconds) {
  if (seconds < 59.5) return `${number(seconds)}\u00a0s`;
  if (seconds < 3570) return `${number(seconds / 60)}\u00a0min`;
  return `${number(seconds / 3600, seconds < 360_000 ? 1 : 0)}\u00a0h`;
}

const COLOURED = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"];
const others = data.labels.filter((label) => !COLOURED.includes(label));
const colour = (label) =>
  COLOURED.includes(label) ? `var(--c-${label})` : `var(--c-other-${others.indexOf(label) % 4})`;
const partyColour = (party) => `var(--party-${data.parties.indexOf(party) % 4})`;

const legend = (entries) =>
  el("ul", { class: "legend" }, entries.map(([name, paint]) =>
    el("li", {}, styled(el("i"), { background: paint }), name)));
const labelLegend = () => legend(data.labels.map((label) => [label, colour(label)]));

const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
