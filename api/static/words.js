// Words, numbers, times and elements: plain data enters, text and nodes of the page leave.
// What comes from events is only ever put into text nodes and attributes, never parsed as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
export const language = data.language;
/** Who is logged in, as the server knew when it sent the page; null for nobody. */
export const user = data.user;
export const provider = data.provider;
/** Why the log-in at the provider was refused, where that was just so. */
export const refused = data.refused;
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const numbers = new Intl.NumberFormat(language === "vi" ? "vi-VN" : "en-US");
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });

/** Return the sentence `page.<key>` with its values filled in. */
export function say(key, values = {}) {
  const sentence = data.words[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Return a sentence as texts and elements: what stands between backquotes is a command. */
export function rich(sentence) {
  return sentence.split("`").map((part, place) => (place % 2 ? make("code", {}, part) : part));
}

/** Return a field of an alert in the language of the page where it has one: `rule.name_vi` for `rule.name`. */
export function spoken(alert, field) {
  return alert[`${field}_${language}`] ?? alert[field];
}

/** Say whether there is a sentence of this key. */
export function known(key) {
  return key in data.words;
}

export function number(value) {
  return numbers.format(value);
}

const two = (value) => String(value).padStart(2, "0");

/** Write a time as 23/11/2026 23:59:07, in the zone of the one who reads. */
export function moment(value) {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return String(value);
  const day = `${two(date.getDate())}/${two(date.getMonth() + 1)}/${date.getFullYear()}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Write how long ago a time was, for the hint over it. */
export function ago(value) {
  const seconds = (new Date(value).getTime() - Date.now()) / 1000;
  const steps = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const [size, unit] = steps.find(([size]) => Math.abs(seconds) >= size) ?? [1, "second"];
  return Number.isFinite(seconds) ? `${relative.format(Math.round(seconds / size), unit)} (${zone})` : "";
}

export function zoneName() {
  return zone;
}

// Control characters and the ones that turn the direction of writing are shown by their number, so that no value can
// look like another one.
const unseen = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Write a number of seconds in the largest unit that fits. */
export function duration(seconds) {
  const units = [[86400, "days"], [3600, "hours"], [60, "minutes"], [1, "seconds"]];
  const [size, unit] = units.find(([size]) => seconds >= size) ?? [1, "seconds"];
  return say(`span.${unit}`, { count: number(Math.round(seconds / size)) });
}

/** Return a value as text that shows everything that is in it. */
export function plain(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.replace(unseen, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Make an element: attributes (`on…` are listeners, `class` is its class), then texts and elements. */
export function make(name, attributes = {}, ...content) {
  return fill(document.createElement(name), attributes, content);
}

/** Make an element of a drawing. */
export function draw(name, attributes = {}, ...content) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, content);
}

function fill(element, attributes, content) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...content.flat(Infinity).filter((item) => item !== null && item !== undefined));
  return element;
}

/** Return the mark of a severity: a shape, a colour and a word. */
export function severity(level) {
  const shapes = { critical: "▲", high: "◆", medium: "●", low: "■", informational: "○" };
  const name = level in shapes ? level : "informational";
  const word = known(`level.${level}`) ? say(`level.${level}`) : plain(level ?? "");
  return make("span", { class: `level ${name}` }, make("i", { "aria-hidden": "true" }, shapes[name]), " ", word);
}

/** Return a time with how long ago it was. */
export function time(value) {
  return make("time", { datetime: String(value), title: ago(value) }, moment(value));
}
