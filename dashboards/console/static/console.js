// Keeps the page live. The server renders every part; this swaps in what changed and says when it can no longer know.
"use strict";

const LOST_AFTER_MS = 10000;
const NAME_KEY = "renrum.name";
const zone = document.body.dataset.timezone;
const live = document.body.dataset.live !== undefined;
const words = JSON.parse(document.body.dataset.words);
const $ = (id) => document.getElementById(id);

// ---- times in the site's zone, as the server writes them

const clockFormat = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" });
let serverNow = new Date();

// a text of the catalogue with what belongs in it
function say(key, values) {
  return words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function timeText(stamp) {
  const at = new Date(stamp);
  const day = dayFormat.format(at);
  return (day === dayFormat.format(serverNow) ? "" : day + " ") + clockFormat.format(at);
}

function setTime(element, stamp) {
  element.dateTime = stamp;
  element.textContent = timeText(stamp);
}

// ---- parts: fetched when something changed, at most once a second each, and merged by key so that what is being typed stays

const asked = new Map();

function refresh(...parts) {
  for (const part of parts) {
    if (asked.has(part)) { asked.set(part, true); continue; }
    asked.set(part, false);
    load(part).finally(() => setTimeout(() => {
      const again = asked.get(part);
      asked.delete(part);
      if (again) refresh(part);
    }, 1000));
  }
}

async function load(part) {
  if (part === "rooms") overtaking.clear();
  try {
    const answer = await fetch("/parts/" + part);
    if (answer.status === 401) return signIn();
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = document.createElement("div");
    fresh.innerHTML = await answer.text();
    merge($(part), fresh);
    fillNames();
    if (part === "summary") countInTitle();
    if (part === "rooms") for (const row of overtaking.values()) showValue(row);
  } catch (problem) {
    setTimeout(() => refresh(part), 3000);
  }
}

// the session is over: what is shown may no longer be seen
function signIn() {
  location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
}

function merge(shown, fresh) {
  const list = shown.querySelector(":scope > ol"), freshList = fresh.querySelector(":scope > ol");
  const focus = document.activeElement, id = shown.contains(focus) ? focus.id : "";
  if (list && freshList) mergeKeyed(list, freshList);
  else if (rendered(shown) !== rendered(fresh)) shown.replaceChildren(...fresh.childNodes);
  if (id && document.activeElement !== focus && $(id)) $(id).focus();
}

function mergeKeyed(list, freshList) {
  const old = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const wanted = [...freshList.children].map((item) => {
    const known = old.get(item.dataset.key);
    if (known && rendered(known) !== rendered(item)) patch(known, item);
    return known || item;
  });
  for (const item of [...list.children]) if (!wanted.includes(item)) item.remove();
  // only what is out of place is moved: a moved element loses the focus
  wanted.forEach((item, n) => { if (list.children[n] !== item) list.insertBefore(item, list.children[n] || null); });
}

// the new content around the old form, which somebody may be typing into
function patch(shown, fresh) {
  Object.assign(shown.dataset, fresh.dataset);
  const form = shown.querySelector(":scope > details"), freshForm = fresh.querySelector(":scope > details");
  if (!form || !freshForm) { shown.replaceChildren(...fresh.childNodes); return; }
  if (form.querySelector("form").dataset.api !== freshForm.querySelector("form").dataset.api) { // it is of a group now, or alone
    freshForm.open = form.open;
    for (const input of form.querySelectorAll("input:not([type=hidden])")) freshForm.querySelector(`[name="${input.name}"]`).value = input.value;
    shown.replaceChildren(...fresh.childNodes);
    return;
  }
  for (const node of [...shown.childNodes]) if (node !== form) node.remove();
  freshForm.remove();
  form.before(...fresh.childNodes);
}

// what the server wrote, without what the person or this script changed since
function rendered(node) {
  const holder = document.createElement("div");
  holder.append(...node.cloneNode(true).childNodes);
  for (const details of holder.querySelectorAll("details")) details.removeAttribute("open");
  for (const answer of holder.querySelectorAll(".answer")) answer.textContent = "";
  for (const button of holder.querySelectorAll("button")) button.disabled = false;
  return holder.innerHTML.replace(/\s+/g, " ");
}

// ---- events

const announced = new Map();

// readings that came while the rooms were being fetched: what is fetched may be older than they are
const overtaking = new Map();

function onReadings(rows) {
  let stateChanged = false;
  for (const row of rows) {
    overtaking.set(row.point, row);
    if (!showValue(row)) stateChanged = true;
  }
  if (stateChanged) refresh("rooms", "summary");
}

// false when more than the value changed, so that the tile has to be rendered again
function showValue(row) {
  const item = document.querySelector(`[data-point="${CSS.escape(row.point)}"]`);
  if (!item) return true;
  const time = item.querySelector("time.read");
  if (time && row.time && new Date(time.dateTime) <= new Date(row.time)) {
    item.querySelector(".value").textContent = item.dataset.quantity === "door" ? words[row.text.toLowerCase()] || row.text : row.text.replace(".", words.decimal);
    setTime(time, row.time);
  }
  return item.dataset.state === row.state && (time !== null || row.time === null);
}

function onAlarm(alarm) {
  refresh("alarms", "summary", "rooms"); // shelved or suppressed, it is marked at its point
  // said aloud when it becomes unacknowledged, not at each new worst value
  if (alarm.state === "unacknowledged" && announced.get(alarm.id) !== "unacknowledged") {
    const place = document.querySelector(`#room-${CSS.escape(alarm.room)}`);
    const name = alarm.point_name || alarm.quantity.replaceAll("_", " "), room = place ? place.textContent : alarm.room;
    $("announce").textContent = say("new_alarm", { priority: words[alarm.priority] || alarm.priority, level: words[alarm.level] || alarm.level, name, room });
  }
  announced.set(alarm.id, alarm.state);
}

let health = "";

function onHealth(now) {
  serverNow = new Date(now.time);
  failing = !now.alive;
  // the checks carry ages that change at each beat; the strip is worth a look every few seconds anyway
  const told = JSON.stringify([now.checks, now.sums]);
  if (told !== health) refresh("system");
  health = told;
}

// ---- is the page live?

let heardAt = -Infinity, opened = false, failing = false, source = null;

function heard() {
  heardAt = performance.now();
  opened = true;
  setTime($("updated"), serverNow.toISOString());
  show();
}

function show() {
  const silent = performance.now() - heardAt > LOST_AFTER_MS;
  const state = failing ? "lost" : opened && !silent ? "live" : heardAt === -Infinity && performance.now() < LOST_AFTER_MS ? "connecting" : "lost";
  const link = $("link-words"), banner = $("stale");
  document.body.dataset.live = state;
  link.textContent = link.dataset[state];
  const text = state !== "lost" ? "" : failing ? banner.dataset.failing : `${banner.dataset.lost} ${$("updated").textContent}.`;
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = !text;
}

function listen() {
  source = new EventSource("/api/v1/events");
  const on = (kind, act) => source.addEventListener(kind, (event) => { act(JSON.parse(event.data)); heard(); });
  on("readings", onReadings);
  on("alarm", onAlarm);
  on("excursion", () => refresh("excursions"));
  on("health", onHealth);
  on("reload", () => refresh("summary", "alarms", "rooms", "excursions", "system"));
  // subscribed first, then read: nothing falls between
  source.onopen = () => refresh("summary", "alarms", "rooms", "excursions", "system");
  source.onerror = () => {
    opened = false;
    show();
    // refused, and why is not said here: the parts are told
    if (source.readyState === EventSource.CLOSED) { refresh("summary"); setTimeout(listen, 3000); }
  };
}

// ---- acknowledging

function fillNames() {
  const name = stored();
  for (const input of document.querySelectorAll('input[name="by"]')) if (!input.value) input.value = name;
}

function stored() {
  try { return localStorage.getItem(NAME_KEY) || ""; } catch { return ""; }
}

function remember(name) {
  try { localStorage.setItem(NAME_KEY, name); } catch { /* a private window: the name is asked each time */ }
}

async function acknowledge(form) {
  const answer = form.querySelector(".answer"), button = form.querySelector("button");
  // without users the person gives a name; else it is who is signed in
  const said_by = form.elements.by ? form.elements.by.value : undefined, comment = form.elements.comment.value;
  if (said_by) remember(said_by.trim());
  button.disabled = true;
  answer.textContent = words.sending;
  let text, done = false;
  try {
    const reply = await fetch(form.dataset.api, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ by: said_by, comment }),
    });
    if (reply.status === 401) return signIn();
    const said = await reply.json(), about = form.dataset.about;
    if (reply.ok) {
      text = said.action === undefined ? say("accepted", { name: said.acknowledged_by, time: timeText(said.acknowledged), about })
        : say("accepted_group", { name: said.by, time: timeText(said.at), n: said.acknowledged, about });
      done = true;
    } else if (said.acknowledged) {
      text = say("already", { name: said.acknowledged_by, time: timeText(said.acknowledged), who: said_by ? said_by.trim() : words.you });
      done = true;
    } else {
      const kind = said.type.split(":").pop(); // in English as it was said
      text = say("refused", { why: (words.problem[kind] || "{detail}").replace("{detail}", () => said.detail) });
    }
  } catch (problem) {
    text = words.silent;
  }
  button.disabled = false;
  answer.textContent = text;
  if (done) settle(form, text);
}

function settle(form, text) {
  $("said").textContent = text;
  $("said").hidden = false;
  $("said").focus(); // the alarm's own element goes with the next refresh, and the focus with it
  refresh("alarms", "summary");
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-api]");
  if (!form || !live) return; // the alarm's own page posts the form
  event.preventDefault();
  acknowledge(form);
});

document.addEventListener("submit", (event) => {
  if (event.target.elements.by) remember(event.target.elements.by.value.trim());
}, true);

// an opened form is ready to be typed into
document.addEventListener("toggle", (event) => {
  if (!event.target.matches("details.acknowledge") || !event.target.open) return;
  const empty = [...event.target.querySelectorAll("input")].find((input) => !input.value);
  (empty || event.target.querySelector("button")).focus();
}, true);

function countInTitle() {
  const number = Number(document.querySelector("[data-unacknowledged]").dataset.unacknowledged);
  document.title = (number ? `(${number}) ` : "") + document.title.replace(/^\(\d+\) /, "");
}

fillNames();
if (live) {
  for (const item of document.querySelectorAll(".alarm")) announced.set(item.dataset.key, item.dataset.state);
  $("updated-words").textContent = $("updated-words").dataset.live;
  $("again").remove();
  countInTitle();
  listen();
  setInterval(show, 1000);
  show();
}
