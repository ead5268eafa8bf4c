// The overview: state of the page in, three views out (alerts, events, sources), kept fresh without moving what one reads.

import { Refused, ask, withParameters } from "/static/asking.js";
import { histogram, intervalOf } from "/static/chart.js";
import * as sheet from "/static/sheet.js";
import { duration, known, language, make, moment, number, plain, provider, refused, rich, say, severity, spoken, time, user } from "/static/words.js";

const REFRESH_MS = 5000;
const LEDGER_MS = 30000;
const PAGE = 50;
const WINDOW = 10000; // as the API's: from + size
const SENDING_MINUTES = 15;
/** Problems that are shown unasked. */
const PROBLEMS = 3;
const LEVELS = ["critical", "high", "medium", "low", "informational"];
const RANGES = ["15m", "1h", "24h", "7d", "30d", "all", "chosen"];
const VIEWS = ["alerts", "events", "sources"];
/** What each view asks the API for. */
const NEEDED = { alerts: "alerts.read", events: "events.read", sources: "site.read" };
/** What whoever is logged in may do. */
let may = new Set();
// What the pipeline counts for itself, beside the sources that send.
const OWN = new Set(["alerts", "haidang"]);
// What comes once: nobody waits for more of it.
const ONCE = /^(import|demo(-.*)?)$/;

// What the address bar holds: view, q (the query), time (a range, or from~to), level, alert (the one that is open).
// Messages lead to `#alert/ID`.
const state = { view: "alerts", q: "", time: "24h", level: "", alert: "" };
const parts = {};
let shown = { alerts: [], total: 0, newest: "" };
let events = { hits: [], total: 0 };
let ledger = { at: 0, rows: [] };
let asked = 0;
let timer = 0;

const byId = (id) => document.getElementById(id);

function readAddress() {
  const [, linked] = /^#alert\/(.+)$/.exec(location.hash) ?? [];
  const given = new URLSearchParams(linked ? { alert: linked } : location.hash.slice(1));
  state.view = VIEWS.includes(given.get("view")) ? given.get("view") : "alerts";
  state.q = given.get("q") ?? "";
  state.time = RANGES.includes(given.get("time")) || /^.+~.*$/.test(given.get("time") ?? "") ? given.get("time") : "24h";
  state.level = LEVELS.includes(given.get("level")) ? given.get("level") : "";
  state.alert = given.get("alert") ?? "";
}

function writeAddress() {
  const given = Object.entries(state).filter(([, value]) => value);
  const address = `#${new URLSearchParams(given)}`;
  if (address !== location.hash) history.pushState(null, "", address);
  byId("other-language").href = otherLanguage();
}

function otherLanguage() {
  return `/?lang=${language === "vi" ? "en" : "vi"}${location.hash}`;
}

/** Return the bounds as the API takes them; a relative range ends now. */
function bounds() {
  if (state.time.includes("~")) {
    const [from, to] = state.time.split("~");
    return { from: isoOf(from), to: isoOf(to) };
  }
  return state.time === "all" ? { from: "", to: "" } : { from: `now-${state.time}`, to: "" };
}

function isoOf(local) {
  const date = new Date(local);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

// ---------------------------------------------------------------- log-in

function showLogIn(why = "") {
  clearInterval(timer);
  sheet.close();
  const fault = make("p", { class: "fault", role: "alert" }, plain(why));
  const button = make("button", { type: "submit", class: "main" }, say("log_in"));
  const form = make(
    "form",
    { id: "log-in", onsubmit: (event) => { event.preventDefault(); logIn(form, button, fault); } },
    make("img", { src: "/static/favicon.svg", alt: "", width: 48, height: 48 }),
    make("h1", {}, "Hải Đăng"),
    make("p", { class: "quiet" }, say("about")),
    make("label", {}, say("name"), make("input", { name: "name", autocomplete: "username", required: true, maxlength: 100, autofocus: true })),
    make("label", {}, say("password"), make("input", { name: "password", type: "password", autocomplete: "current-password", required: true, maxlength: 1000 })),
    button,
    provider ? make("a", { href: "/api/v1/login/oidc", class: "provider", onclick: keepAddress }, say("log_in.provider", { provider })) : null,
    fault,
    make("p", { class: "quiet" }, rich(say("log_in.help"))),
    make("a", { href: otherLanguage(), hreflang: language === "vi" ? "en" : "vi" }, say("other_language")),
  );
  document.body.replaceChildren(make("main", { class: "log-in" }, form));
  form.elements.name.focus();
}

async function logIn(form, button, fault) {
  await attempt(form, button, fault, async () => {
    await goOn(await ask("/login", { name: form.elements.name.value, password: form.elements.password.value }));
  });
}

/** Keep the fragment over the way to the provider and back, which loses it. */
function keepAddress() {
  sessionStorage.setItem("address", location.hash);
}

function takeUpAddress() {
  const kept = sessionStorage.getItem("address");
  sessionStorage.removeItem("address");
  if (kept && !location.hash) history.replaceState(null, "", kept);
}

/** Do what a form is for; a refusal is shown in it. */
async function attempt(form, button, fault, work) {
  button.disabled = true;
  fault.textContent = "";
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    fault.textContent = error.message;
    [...form.elements].find((field) => field.type === "password" || field.name === "code")?.select();
  } finally {
    button.disabled = false;
  }
}

/** Show the step that a log-in still asks for, or the frame. */
async function goOn(session) {
  if (session.recovery_codes?.length) return showRecoveryCodes(session);
  if (session.next === "code") return showStep("code", "code.help", [codeField()], (form) => ask("/login/code", { code: form.elements.code.value }));
  if (session.next === "enrol") return showEnrolment(await ask("/login/second-factor", {}));
  if (session.next === "password") return showStep("new_password", "new_password.help", [passwordField("password", "new_password"), passwordField("again", "repeat_password")], choosePassword, "change_password");
  return start(session.name);
}

const drawingOf = (made) => [make("img", { src: made.image, alt: made.uri, class: "code", width: 220, height: 220 }), make("code", {}, made.secret), codeField()];

function showEnrolment(made) {
  return showStep("enrol", "enrol.help", drawingOf(made),
    (form) => ask("/login/second-factor/confirm", { code: form.elements.code.value }));
}

function showRecoveryCodes(session) {
  const codes = make("ul", { class: "codes" }, session.recovery_codes.map((code) => make("li", {}, make("code", {}, code))));
  showStep("enrol", "recovery", [codes], async () => ({ ...session, recovery_codes: [] }));
}

async function choosePassword(form) {
  if (form.elements.password.value !== form.elements.again.value) throw new Refused(422, { detail: say("not_the_same") });
  return ask("/login/password", { password: form.elements.password.value });
}

const codeField = () => make("label", {}, say("code"), make("input", { name: "code", inputmode: "numeric", autocomplete: "one-time-code", required: true, minlength: 6, maxlength: 40 }));
const passwordField = (name, label, fill = "new-password") => make("label", {}, say(label), make("input", { name, type: "password", autocomplete: fill, required: true, maxlength: 1000 }));

/** Show what somebody may change of their own account. */
async function showAccount(name) {
  const me = await ask("/me").catch(trouble);
  if (!me) return;
  clearInterval(timer);
  sheet.close();
  const change = async (form) => {
    if (form.elements.password.value !== form.elements.again.value) throw new Refused(422, { detail: say("not_the_same") });
    await ask("/me/password", { current: form.elements.current.value, password: form.elements.password.value });
    return { name, next: "" };
  };
  const form = showStep("account", "account.help", [passwordField("current", "current_password", "current-password"), passwordField("password", "new_password"), passwordField("again", "repeat_password")], change, "change_password");
  const enrol = make("button", { type: "button", id: "enrol", onclick: () => attempt(form, enrol, form.querySelector(".fault"), () => setUpFactor(form, name)) }, say("enrol"));
  const remove = make("button", { type: "button", id: "remove-factor", onclick: () => attempt(form, remove, form.querySelector(".fault"), () => removeFactor(form, name)) }, say("remove_factor"));
  form.append(...(me.second_factor ? [make("p", { id: "factor-on" }, say("factor_on")), remove] : [enrol]), make("button", { type: "button", id: "leave", onclick: () => start(name) }, say("back")));
}

async function removeFactor(form, name) {
  await ask("/me/second-factor", { current: form.elements.current.value }, false, "DELETE");
  return showAccount(name);
}

async function setUpFactor(form, name) {
  const made = await ask("/me/second-factor", { current: form.elements.current.value });
  showStep("enrol", "enrol.help", drawingOf(made), async (step) => {
    const { recovery_codes } = await ask("/me/second-factor/confirm", { code: step.elements.code.value });
    return { name, next: "", recovery_codes };
  });
}

function showStep(title, help, fields, work, doing = "go_on") {
  const fault = make("p", { class: "fault", role: "alert" });
  const button = make("button", { type: "submit", class: "main" }, say(doing));
  const form = make("form", { id: "log-in-step", onsubmit: (event) => { event.preventDefault(); attempt(form, button, fault, async () => goOn(await work(form))); } },
    make("h1", {}, say(title)), make("p", { class: "quiet" }, say(help)), ...fields, button, fault);
  document.body.replaceChildren(make("main", { class: "log-in" }, form));
  form.querySelector("input, button")?.focus();
  return form;
}

async function logOut() {
  await ask("/logout", {}).catch(() => null);
  showLogIn();
}

// ---------------------------------------------------------------- the frame

function showFrame(name) {
  const query = make("input", { id: "query", type: "search", spellcheck: "false", autocomplete: "off", autocapitalize: "off", maxlength: 10000, placeholder: say("query.hint"), "aria-label": say("query"), "aria-describedby": "query-fault" });
  const range = make("select", { id: "time", "aria-label": say("time_range"), onchange: () => chooseTime(range.value) },
    RANGES.map((name) => make("option", { value: name }, say(`range.${name}`))));
  const chosen = make("span", { id: "chosen", hidden: true },
    make("input", { id: "from", type: "datetime-local", step: 1, "aria-label": say("from"), onchange: chooseBounds }),
    make("span", {}, "–"),
    make("input", { id: "to", type: "datetime-local", step: 1, "aria-label": say("to"), onchange: chooseBounds }));
  parts.views = Object.fromEntries(VIEWS.map((name) => [name, make("section", { id: `view-${name}`, "aria-labelledby": `tab-${name}` })]));
  document.body.replaceChildren(
    make("header", { class: "top" },
      make("a", { class: "brand", href: "#" }, make("img", { src: "/static/favicon.svg", alt: "", width: 24, height: 24 }), "Hải Đăng"),
      make("form", { role: "search", onsubmit: (event) => { event.preventDefault(); search(query.value); } },
        query, range, chosen, make("button", { type: "submit", class: "main" }, say("search"))),
      make("nav", {},
        make("a", { href: "/docs" }, "API"),
        make("a", { id: "other-language", href: otherLanguage() }, say("other_language")),
        make("button", { type: "button", id: "account", class: "user", title: say("account"), onclick: () => showAccount(name) }, plain(name)),
        make("button", { type: "button", id: "log-out", onclick: logOut }, say("log_out")))),
    make("main", {},
      make("div", { id: "query-fault", role: "alert" }),
      make("div", { id: "offline", role: "alert", hidden: true }),
      make("p", { id: "status", role: "status" }, say("loading")),
      make("ul", { id: "problems" }),
      make("div", { id: "counts" }),
      make("nav", { class: "tabs" }, VIEWS.filter(allowed).map((name) => make("button", { type: "button", id: `tab-${name}`, onclick: () => go({ view: name }) }, make("span", {}, say(`view.${name}`)), make("b", {}))), make("button", { type: "button", class: "pill", id: "new", hidden: true, onclick: () => loadView() })),
      Object.values(parts.views)));
}

function chooseTime(name) {
  if (name !== "chosen") {
    go({ time: name });
    return;
  }
  const { from, to } = bounds();
  const span = { "15m": 9e5, "1h": 36e5, "24h": 864e5, "7d": 6048e5, "30d": 2592e6 }[state.time] ?? 864e5;
  const end = to ? new Date(to) : new Date();
  const begin = from && !from.startsWith("now") ? new Date(from) : new Date(end.getTime() - span);
  go({ time: `${local(begin)}~${local(end)}` });
}

function chooseBounds() {
  if (byId("from").value) go({ time: `${byId("from").value}~${byId("to").value}` });
}

function local(date) {
  return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

function search(text) {
  go({ view: "events", q: text.trim() });
}

/** Change the state, the address and what is shown. */
function go(changes) {
  Object.assign(state, changes);
  writeAddress();
  show();
}

function show() {
  byId("query").value = state.q;
  const own = state.time.includes("~");
  byId("time").value = own ? "chosen" : state.time;
  byId("chosen").hidden = !own;
  if (own) [byId("from").value, byId("to").value] = state.time.split("~");
  for (const name of VIEWS) {
    parts.views[name].hidden = state.view !== name;
    byId(`tab-${name}`)?.setAttribute("aria-current", state.view === name ? "page" : "false");
  }
  clearFault();
  return Promise.all([refresh(true), loadView()]);
}

async function loadView() {
  if (!allowed(state.view)) return;
  const turn = ++asked;
  const view = parts.views[state.view];
  byId("new").hidden = true;
  view.classList.add("loading");
  view.classList.remove("old");
  try {
    await { alerts: loadAlerts, events: loadEvents, sources: loadSources }[state.view](turn);
    online();
  } catch (error) {
    trouble(error);
  } finally {
    view.classList.remove("loading");
  }
}

// ---------------------------------------------------------------- alerts

function alertsPath(more = {}) {
  return withParameters("/alerts", { ...bounds(), level: state.level, limit: PAGE, ...more });
}

async function loadAlerts(turn) {
  const answer = await ask(alertsPath());
  if (turn !== asked) return;
  shown = { alerts: answer.alerts, total: answer.total, newest: mark(answer) };
  drawAlerts();
}

const mark = (answer) => `${answer.total} ${answer.alerts[0]?.["event.id"] ?? ""}`;

async function moreAlerts() {
  const answer = await ask(alertsPath({ offset: shown.alerts.length })).catch(trouble);
  if (!answer) return;
  const have = new Set(shown.alerts.map((alert) => alert["event.id"]));
  shown.alerts.push(...answer.alerts.filter((alert) => !have.has(alert["event.id"])));
  drawAlerts();
}

function drawAlerts() {
  const rows = shown.alerts.map((alert) => line(() => openAlert(alert["event.id"]), [
    ["severity", severity(alert["rule.level"])],
    ["time", time(alert["@timestamp"])],
    ["wide", plain(spoken(alert, "rule.name") ?? "")],
    ["host", plain(alert["host.name"] ?? "")],
    ["who", plain(alert["user.name"] ?? alert["source.ip"] ?? "")],
  ]));
  parts.views.alerts.replaceChildren(
    rows.length
      ? table(["severity", "time", "rule", "host", "who"], rows)
      : make("div", { class: "empty" }, make("p", {}, say(state.level || state.time !== "24h" ? "alerts.none_here" : "no_alerts")), make("p", { class: "quiet" }, rich(say("alerts.next")))),
    below(shown.alerts.length, shown.total, moreAlerts),
  );
}

async function openAlert(identifier) {
  try {
    sheet.showAlert(await ask(`/alerts/${encodeURIComponent(identifier)}`));
  } catch (error) {
    if (error.status !== 404) return trouble(error);
    sheet.showMissing(identifier);
  }
  return noteAlert(identifier);
}

function openEvent(event) {
  sheet.showEvent(event);
  noteAlert("");
}

/** Let the address say which alert is open. */
function noteAlert(identifier) {
  if (state.alert === identifier) return;
  state.alert = identifier;
  writeAddress();
}

// ---------------------------------------------------------------- events

function filters() {
  const { from, to } = bounds();
  const range = { ...(from && { gte: from }), ...(to && { lte: to }) };
  return Object.keys(range).length ? [{ range: { "@timestamp": range } }] : [];
}

function body(more = {}) {
  return { query: { bool: { must: [{ query_string: { query: state.q } }], filter: filters() } }, size: PAGE, ...more };
}

async function loadEvents(turn) {
  const [begin, end] = await span();
  const interval = intervalOf(end - begin);
  const aggregation = { date_histogram: { field: "@timestamp", fixed_interval: `${interval}s`, extended_bounds: { min: begin, max: end } } };
  const answer = await ask("/search/events", body({ aggs: { time: aggregation } }));
  if (turn !== asked) return;
  events = { hits: answer.hits.hits, total: answer.hits.total.value, took: answer.took, buckets: answer.aggregations.time.buckets, interval };
  drawEvents();
}

/** Return the milliseconds that the drawing spans; for all of time, from the first event to the last. */
async function span() {
  const { from, to } = bounds();
  const end = to ? Date.parse(to) : Date.now();
  if (from.startsWith("now-")) {
    const [, count, unit] = /(\d+)([mhd])/.exec(from);
    return [end - count * { m: 6e4, h: 36e5, d: 864e5 }[unit], end];
  }
  if (from) return [Date.parse(from), Math.max(end, Date.parse(from) + 1000)];
  const edge = async (order) => (await ask("/search/events", body({ size: 1, _source: ["@timestamp"], sort: [{ "@timestamp": order }] }))).hits.hits[0]?._source["@timestamp"];
  const [first, last] = await Promise.all([edge("asc"), edge("desc")]);
  return first ? [Date.parse(first), Date.parse(last) + 1000] : [end - 864e5, end];
}

async function moreEvents() {
  const last = events.hits.length;
  const answer = await ask("/search/events", body({ from: last, size: Math.min(PAGE, WINDOW - last) })).catch(trouble);
  if (!answer) return;
  const have = new Set(events.hits.map((hit) => hit._id));
  events.hits.push(...answer.hits.hits.filter((hit) => !have.has(hit._id)));
  drawEvents();
}

function drawEvents() {
  const rows = events.hits.map(({ _source: event }) => line(() => openEvent(event), [
    ["time", time(event["@timestamp"])],
    ["host", plain(event["host.name"] ?? event["source.ip"] ?? "")],
    ["kind", plain(event["event.dataset"] ?? "")],
    ["wide raw", summary(event)],
  ]));
  parts.views.events.replaceChildren(
    ...(rows.length ? [
      make("p", { class: "quiet" }, say("found", { total: number(events.total), shown: number(rows.length), took: number(events.took) })),
      histogram(events.buckets, events.interval, (from, to) => go({ time: `${local(new Date(from))}~${local(new Date(to))}` })),
      table(["time", "host", "kind", "message"], rows),
    ] : [make("div", { class: "empty" }, make("p", {}, say(state.q ? "events.none_found" : "events.none")), make("p", { class: "quiet" }, rich(say(state.q ? "events.next_found" : "events.next"))))]),
    below(events.hits.length, Math.min(events.total, WINDOW), moreEvents),
  );
}

function summary(event) {
  const text = event.message ?? event["event.original"] ?? event["error.message"] ?? event["process.command_line"] ?? "";
  return plain(text).slice(0, 500).replaceAll("\n", " ");
}

// ---------------------------------------------------------------- sources and stages

async function loadSources(turn, byItself = false) {
  const [sources, health] = await Promise.all([sourcesOf(false), ask("/health", undefined, byItself)]);
  if (turn !== asked) return;
  parts.views.sources.replaceChildren(...drawSources(sources), ...drawStages(health));
}

function drawSources(sources) {
  const columns = ["received", "stored", "already_stored", "dropped", "examined", "alerts"];
  const rows = sources.filter((source) => !OWN.has(source.source)).map((source) => make("tr", {},
    make("td", { class: "wide" }, make("bdi", {}, plain(source.source))),
    columns.map((name) => make("td", { class: "number", "data-label": say(name) }, number(source[name]))),
    make("td", { class: "reasons" }, Object.entries(source.reasons).map(([reason, count]) => make("div", {}, `${reasonWord(reason)}: ${number(count)}`))),
    make("td", { class: "time" }, time(source.last_minute * 60000))));
  return [make("h2", {}, say("view.sources")),
    rows.length ? table(["source", ...columns, "reasons", "last"], rows, columns) : make("div", { class: "empty" }, make("p", {}, say("sources.none")), make("p", { class: "quiet" }, rich(say("events.next"))))];
}

function reasonWord(reason) {
  return known(`reason.${reason}`) ? say(`reason.${reason}`) : plain(reason);
}

function drawStages(health) {
  const rows = Object.entries(health.stages).map(([name, stage]) => make("tr", {},
    make("td", { class: "wide" }, stageWord(name)),
    make("td", { class: stage.up ? "" : "fault" }, stage.up ? say("up") : say("silent", { time: duration(stage.seen_seconds_ago) })),
    make("td", { class: "number", "data-label": say("waiting") }, number(stage.backlog_events))));
  return [make("h2", {}, say("stages")), table(["stage", "state", "waiting"], rows, ["waiting"]),
    make("p", { class: "quiet" }, say("disk_free", { gigabytes: number(Math.round(health.disk_free_bytes / 1e8) / 10) }))];
}

// ---------------------------------------------------------------- tables

function table(columns, rows, right = []) {
  const head = columns.map((name) => make("th", { scope: "col", class: right.includes(name) ? "number" : null }, say(name)));
  return make("div", { class: "scroll" }, make("table", { class: "list" }, make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows)));
}

function line(open, cells) {
  return make("tr", { tabindex: "0", onclick: () => open(), onkeydown: (event) => { if (event.key === "Enter") open(); } },
    cells.map(([name, content]) => make("td", { class: name }, typeof content === "string" ? make("bdi", {}, content) : content)));
}

function below(count, total, more) {
  if (!count) return make("div", {});
  return make("div", { class: "below" }, make("span", { class: "quiet" }, say("shown", { shown: number(count), total: number(total) })),
    count < total ? make("button", { type: "button", onclick: more }, say("more")) : null);
}

// ---------------------------------------------------------------- status and counts, every five seconds

async function refresh(now = false) {
  if (document.hidden && !now) return;
  try {
    const turn = asked;
    const [day, inRange, health, sources] = await Promise.all([
      allowed("alerts") ? ask(withParameters("/alerts", { from: "now-24h", limit: 0 }), undefined, !now) : null,
      allowed("alerts") ? ask(alertsPath({ limit: 1 }), undefined, !now) : null,
      allowed("sources") ? ask("/health", undefined, !now) : { problems: [] },
      allowed("sources") ? sourcesOf(now) : [],
    ]);
    if (!byId("status")) return; // logged out meanwhile
    if (!day) {
      byId("status").textContent = say("no_alerts_for_you");
      return;
    }
    drawStatus(day, sources, health);
    drawCounts(inRange, sources);
    if (!now && turn === asked) await lookForNew(inRange);
    online();
  } catch (error) {
    trouble(error);
  }
}

/** Return the ledger, asked for twice a minute: it is summed anew each time. */
async function sourcesOf(now) {
  if (now || Date.now() - ledger.at > LEDGER_MS) ledger = { at: Date.now(), rows: await ask("/sources", undefined, !now) };
  return ledger.rows;
}

async function lookForNew(inRange) {
  if (state.view === "alerts" && mark(inRange) !== shown.newest && inRange.alerts.length) {
    if (!shown.alerts.length) await loadView();
    else offer("alerts", Math.max(inRange.total - shown.total, 1));
  }
  if (state.view === "events" && !state.time.includes("~") && !byId("query-fault").hasChildNodes()) {
    const answer = await ask("/search/events", body({ size: 0 }), true);
    if (answer.hits.total.value > events.total) offer("events", answer.hits.total.value - events.total);
  }
  if (state.view === "sources" && getSelection().isCollapsed) await loadSources(asked, true);
}

function offer(name, count) {
  byId("new").textContent = say(`new.${name}`, { count: number(count) });
  byId("new").hidden = false;
}

function drawStatus(day, sources, health) {
  const urgent = (day.levels.critical ?? 0) + (day.levels.high ?? 0);
  const senders = sources.filter((source) => !OWN.has(source.source) && source.received);
  const lasting = senders.filter((source) => !ONCE.test(source.source));
  const sending = lasting.filter((source) => Date.now() / 60000 - source.last_minute <= SENDING_MINUTES).length;
  const sentences = [
    day.total ? say(urgent ? "some_urgent" : "some_alerts", { count: number(day.total), urgent: number(urgent) }) : say("no_alerts"),
  ];
  if (sending) sentences.push(say("sending", { count: number(sending) }));
  else if (lasting.length) sentences.push(say("none_sending", { minutes: SENDING_MINUTES }));
  else if (!senders.length) sentences.push(say("never_sent"));
  const status = byId("status");
  const text = sentences.join(" ");
  if (status.dataset.text !== text) status.replaceChildren(...rich(text));
  status.dataset.text = text;
  status.className = health.problems.length || urgent || (lasting.length && !sending) ? "attention" : senders.length ? "good" : "";
  drawProblems(problemsOf(health).map((sentence) => make("li", {}, rich(sentence))));
}

/** Show the first problems, and the others when they are asked for. */
function drawProblems(items) {
  const unfolded = byId("problems").querySelector("details")?.open ?? false;
  const held = Boolean(document.activeElement?.closest("#problems details"));
  const [first, others] = [items.slice(0, PROBLEMS), items.slice(PROBLEMS)];
  const more = others.length ? make("li", { class: "more" }, make("details", { open: unfolded }, make("summary", {}, say("problems.more", { count: number(others.length) })), make("ul", {}, others))) : null;
  byId("problems").replaceChildren(...first, ...(more ? [more] : []));
  if (held) byId("problems").querySelector("summary")?.focus({ preventScroll: true });
}

function problemsOf(health) {
  const silent = health.problems.filter((problem) => problem.what === "stage_silent");
  const others = health.problems.filter((problem) => problem.what !== "stage_silent");
  const sentences = others.map((problem) => say(known(`problem.${problem.what}`) ? `problem.${problem.what}` : "problem.other", {
    ...Object.fromEntries(Object.entries(problem).map(([name, value]) => [name, typeof value === "number" ? number(value) : plain(value)])),
    stage: stageWord(problem.stage),
    gigabytes: number(Math.round((problem.free_bytes ?? 0) / 1e8) / 10),
  }));
  if (!silent.length) return sentences;
  const longest = Math.max(...silent.map((problem) => problem.seconds));
  return [say("problem.stage_silent", { stages: silent.map((problem) => stageWord(problem.stage)).join(", "), time: duration(longest) }), ...sentences];
}

function stageWord(name) {
  return known(`stage.${name}`) ? say(`stage.${name}`) : plain(name ?? "");
}

function drawCounts(inRange, sources) {
  const held = document.activeElement?.id;
  const tile = (id, count, content, onclick, pressed) => make("button", { type: "button", id, onclick, "aria-pressed": String(pressed), class: count ? null : "none" }, make("b", {}, number(count)), content);
  const levels = LEVELS.map((name) => tile(`count-${name}`, inRange.levels[name] ?? 0, severity(name),
    () => go({ view: "alerts", level: state.level === name ? "" : name }), state.view === "alerts" && state.level === name));
  byId("counts").replaceChildren(...levels);
  if (held?.startsWith("count-")) byId(held)?.focus({ preventScroll: true });
  byId("tab-alerts").lastChild.textContent = number(Object.values(inRange.levels).reduce((sum, count) => sum + count, 0));
  if (byId("tab-sources")) byId("tab-sources").lastChild.textContent = number(sources.filter((source) => !OWN.has(source.source)).length);
}

// ---------------------------------------------------------------- faults

function clearFault() {
  byId("query-fault").replaceChildren();
  byId("query").removeAttribute("aria-invalid");
}

/** Show what failed where it belongs: a query's fault under its character, a lost connection over everything. */
function trouble(error) {
  if (!(error instanceof Refused)) throw error;
  if (!byId("status")) return null; // logged out already
  if (error.status === 401) showLogIn();
  else if (error.status === 0) {
    document.body.classList.add("stale");
    byId("offline").hidden = false;
    byId("offline").textContent = say("offline", { time: moment(Date.now()) });
  } else showFault(error);
  return null;
}

function online() {
  document.body.classList.remove("stale");
  const offline = byId("offline");
  if (offline) offline.hidden = true;
}

function showFault(error) {
  byId("query").setAttribute("aria-invalid", "true");
  parts.views[state.view].classList.add("old"); // what stands there answers an earlier query
  if (error.position === null || error.reason === null) {
    byId("query-fault").replaceChildren(make("p", { class: "fault" }, plain(error.message)));
    return;
  }
  const signs = Array.from(state.q);
  const at = Math.min(error.position, signs.length);
  byId("query-fault").replaceChildren(
    make("pre", { class: "raw" }, signs.slice(0, at).join(""), make("mark", {}, signs[at] ?? " "), signs.slice(at + 1).join("")),
    make("p", { class: "fault" }, say("fault_at", { position: number(at + 1), reason: plain(error.reason) })),
  );
  byId("query-fault").querySelector("mark").scrollIntoView({ block: "nearest", inline: "center" });
}

// ---------------------------------------------------------------- keys and start

function onKey(event) {
  if (event.key === "Escape") {
    if (sheet.isOpen()) sheet.dismiss();
    else if (byId("leave")) byId("leave").click();
    else event.target.blur?.();
    return;
  }
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches?.("input, select, textarea")) return;
  if (event.key === "/" && byId("query")) {
    event.preventDefault();
    byId("query").select();
  }
  if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
}

function move(step) {
  const rows = [...document.querySelectorAll("section:not([hidden]) tr[tabindex]")];
  const next = rows[rows.indexOf(document.activeElement) + step] ?? (step > 0 ? rows.at(-1) : rows[0]);
  next?.focus();
}

const allowed = (view) => may.has(NEEDED[view]);

async function start(name) {
  const me = await ask("/me").catch(() => null);
  if (!me) return showLogIn();
  may = new Set(me.permissions);
  takeUpAddress();
  readAddress();
  if (!allowed(state.view)) state.view = VIEWS.find(allowed) ?? "alerts";
  showFrame(name);
  sheet.whenAsked(addTerm);
  sheet.whenDismissed(() => noteAlert(""));
  clearInterval(timer);
  timer = setInterval(refresh, REFRESH_MS);
  return showAddressed();
}

/** Show what the address says, with the alert that it names. */
async function showAddressed() {
  await show();
  if (state.alert && byId("status")) await openAlert(state.alert);
}

/** Ask for the events that also fit this term. */
function addTerm(term) {
  const query = /\bOR\b|\|\|/.test(state.q) ? `(${state.q})` : state.q;
  sheet.close();
  state.alert = "";
  search(query ? `${query} AND ${term}` : term);
}

addEventListener("popstate", () => { if (byId("query")) { readAddress(); sheet.close(); showAddressed(); } });
addEventListener("keydown", onKey);
if (user === null) showLogIn(refused);
else start(user);
