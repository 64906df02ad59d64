// Of a page that was rendered once: says when something has happened since, and when it can no longer know.
"use strict";

const LOST_AFTER_MS = 10000, OWN_MS = 5000;
const $ = (id) => document.getElementById(id);
const NAME_KEY = "renrum.name";
const link = $("link-words");

if (link) {
  let heardAt = performance.now(), source = null, failing = false;
  const heard = () => { heardAt = performance.now(); show(); };
  const show = () => {
    const lost = failing || performance.now() - heardAt > LOST_AFTER_MS;
    const stale = $("stale"), at = $("updated").textContent;
    document.body.dataset.live = lost ? "lost" : "live";
    link.textContent = lost ? link.dataset.lost : link.dataset.live;
    const text = !lost ? "" : failing ? stale.dataset.failing : `${stale.dataset.lost} ${at}.`;
    if (stale.textContent !== text) stale.textContent = text;
    stale.hidden = !lost;
  };
  // what this very form did comes as an event, too; and what was typed into one that was refused is not to be loaded away
  const asked = new URLSearchParams(location.search), refused = document.querySelector("main .fault");
  const own = asked.has("said") ? [asked.get("group"), decodeURIComponent(location.pathname.split("/")[2] || "")] : [];
  const changed = (event) => {
    heard();
    const news = JSON.parse(event.data);
    const ours = performance.now() < OWN_MS && own.some((id) => id && [news.id, news.group, news.room, news.excursion].includes(id));
    if (!ours && !refused) $("changed").hidden = false;
  };
  $("changed").querySelector("button").onclick = () => { $("changed").hidden = true; $("main").focus(); };
  const listen = () => {
    source = new EventSource("/api/v1/events");
    for (const kind of ["alarm", "excursion", "reload"]) source.addEventListener(kind, changed);
    source.addEventListener("readings", heard);
    source.addEventListener("health", (event) => { failing = !JSON.parse(event.data).alive; heard(); });
    source.onopen = heard;
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000); };
  };
  listen();
  setInterval(show, 1000);
  const again = document.querySelector("#changed a");
  if (again) again.href = location.pathname + location.search.replace(/[?&]said=[^&]*/, "");
}

// on a phone the navigation is one line that scrolls
const current = document.querySelector("nav.pages [aria-current]");
if (current) current.parentElement.parentElement.parentElement.scrollLeft = current.offsetLeft - 80;

// the name that was given last, where nobody signs in
let name = "";
try { name = localStorage.getItem(NAME_KEY) || ""; } catch { /* a private window */ }
for (const input of document.querySelectorAll('input[name="by"]')) if (!input.value) input.value = name;
document.addEventListener("submit", (event) => {
  const by = event.target.elements.by;
  if (by) try { localStorage.setItem(NAME_KEY, by.value.trim()); } catch { /* it is asked each time */ }
}, true);
