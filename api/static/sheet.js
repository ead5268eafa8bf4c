// The sheet over the right side: an alert or an event enters, all that is known of it is shown; the list stays in view.

import { make, plain, say, severity, spoken, time } from "/static/words.js";

const FIRST = ["@timestamp", "event.dataset", "event.action", "event.outcome", "host.name", "user.name", "source.ip",
  "source.port", "destination.ip", "destination.port", "process.executable", "process.command_line", "message"];
const ELSEWHERE = new Set(["event.original", "alert.evidence", "alert.matches"]);

let opener = null;
let onQuery = () => {};
let onDismissed = () => {};

/** Say what happens when somebody asks for the events with (or without) a value: `onQuery(text)`. */
export function whenAsked(listener) {
  onQuery = listener;
}

/** Say what happens when somebody closes the sheet. */
export function whenDismissed(listener) {
  onDismissed = listener;
}

export function isOpen() {
  return document.getElementById("sheet") !== null;
}

export function close() {
  document.getElementById("sheet")?.remove();
  document.body.classList.remove("with-sheet");
  if (opener?.isConnected) opener.focus({ preventScroll: true });
  opener = null;
}

/** Close it because somebody wants that. */
export function dismiss() {
  close();
  onDismissed();
}

function open(title, ...content) {
  const came = opener ?? document.activeElement;
  document.getElementById("sheet")?.remove();
  opener = came;
  const heading = make("h2", { tabindex: "-1" }, title);
  const button = make("button", { class: "close", type: "button", title: "Esc", "aria-label": say("close"), onclick: dismiss }, "✕");
  const sheet = make("aside", { id: "sheet", role: "dialog", "aria-label": plain(title) }, make("header", {}, heading, button), ...content);
  document.body.append(sheet);
  document.body.classList.add("with-sheet");
  heading.focus({ preventScroll: true });
}

/** Show one alert: why it fired, then the events that made it fire. */
export function showAlert(alert) {
  const matches = (alert["alert.matches"] ?? []).map((match) =>
    make("tr", {}, make("td", {}, plain(match.field ?? "")), make("td", { class: "raw" }, plain(match.value ?? "")),
      make("td", { class: "quiet" }, plain(match.selection ?? ""))));
  const evidence = alert["alert.evidence"] ?? [];
  open(
    plain(spoken(alert, "rule.name") ?? ""),
    make("p", { class: "meta" }, severity(alert["rule.level"]), time(alert["@timestamp"]), entity(alert)),
    alert["rule.description"] ? make("p", {}, plain(spoken(alert, "rule.description"))) : null,
    spoken(alert, "rule.response") ? [make("h3", {}, say("what_first")), make("p", {}, plain(spoken(alert, "rule.response")))] : null,
    make("h3", {}, say("why")),
    matches.length
      ? make("table", { class: "fields" }, make("thead", {}, make("tr", {}, ...["field", "value", "selection"].map((name) => make("th", {}, say(name))))), make("tbody", {}, matches))
      : make("p", { class: "quiet" }, say("why.none")),
    make("h3", {}, say("evidence", { shown: evidence.length, count: alert["alert.count"] ?? evidence.length })),
    evidence.length ? evidence.map((event) => make("section", { class: "event" }, ofEvent(event))) : make("p", { class: "quiet" }, say("evidence.none")),
    make("h3", {}, say("alert.fields")),
    fields(alert),
  );
}

/** Say that an alert that was asked for is not there. */
export function showMissing(identifier) {
  open(say("alert.missing"), make("p", { class: "fault", role: "alert" }, say("alert.missing_why", { id: plain(identifier) })));
}

/** Show one event: the line as it came, and its fields. */
export function showEvent(event) {
  open(plain(event["rule.name"] ?? event["event.action"] ?? event["event.dataset"] ?? say("event")), ofEvent(event));
}

function entity(alert) {
  const names = [alert["host.name"], alert["user.name"], alert["source.ip"]].filter(Boolean);
  return names.length ? make("span", {}, names.map((name, place) => [place ? " · " : "", make("bdi", {}, plain(name))])) : null;
}

function ofEvent(event) {
  const line = event["event.original"];
  return [
    make("p", { class: "meta" }, time(event["@timestamp"]), make("span", { class: "quiet" }, plain(event["event.dataset"] ?? ""))),
    line === undefined ? null : [make("h4", {}, say("raw")), make("pre", { class: "raw" }, plain(line))],
    make("h4", {}, say("fields")),
    fields(event),
  ];
}

function fields(event) {
  const names = Object.keys(event).filter((name) => !ELSEWHERE.has(name));
  const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  names.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  return make("table", { class: "fields" }, make("tbody", {}, names.map((name) => row(name, event[name]))));
}

function row(name, value) {
  const single = Array.isArray(value) ? null : value;
  const askable = single !== null && typeof single !== "object" && String(single).length <= 1000 && name !== "@timestamp";
  const term = askable ? `${escapeName(name)}:"${String(single).replace(/["\\]/g, "\\$&")}"` : "";
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, plain(name)),
    make("td", { class: "raw" }, make("bdi", {}, Array.isArray(value) ? value.map(plain).join(", ") : plain(value))),
    make("td", { class: "ask" }, askable ? [
      make("button", { type: "button", title: say("only_with"), "aria-label": say("only_with"), onclick: () => onQuery(term) }, "+"),
      make("button", { type: "button", title: say("without"), "aria-label": say("without"), onclick: () => onQuery(`NOT ${term}`) }, "−"),
    ] : null),
  );
}

function escapeName(name) {
  return name.replace(/[\s():"\\<>=!\[\]{}*?]/g, "\\$&");
}
