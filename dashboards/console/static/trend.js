// Over a trend: what was read where the pointer is, and zooming in by dragging. Without it there are links and tables.
"use strict";

(() => {
  const words = JSON.parse(document.body.dataset.words);
  const clock = new Intl.DateTimeFormat("sv-SE", { timeZone: document.body.dataset.timezone, dateStyle: "short", timeStyle: "medium" });
  const SVG = "http://www.w3.org/2000/svg";

  function shape(svg, kind, marks) {
    const found = svg.appendChild(document.createElementNS(SVG, kind));
    for (const [name, value] of Object.entries(marks)) found.setAttribute(name, value);
    return found;
  }

  for (const figure of document.querySelectorAll("figure[data-trend]")) {
    const svg = figure.querySelector("svg.plot"), readout = figure.querySelector(".readout");
    if (!svg) continue;
    const trend = JSON.parse(figure.dataset.trend), holder = figure.closest("[data-start]");
    const start = Number(holder.dataset.start), end = Number(holder.dataset.end);
    const hair = shape(svg, "line", { class: "hair", y1: 0, y2: "100%", visibility: "hidden" });
    const drawn = shape(svg, "rect", { class: "drag", y: 0, height: "100%", visibility: "hidden" });
    let from = null;

    const share = (event) => {
      const box = svg.getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    };
    const text = (value) => value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: trend.decimals });
    const tell = (part) => {
      const at = start + part * (end - start), row = Math.floor((at - trend.start) / trend.width);
      hair.setAttribute("x1", `${100 * part}%`);
      hair.setAttribute("x2", `${100 * part}%`);
      hair.setAttribute("visibility", "visible");
      const mean = trend.mean[row], unit = figure.dataset.unit;
      const span = mean == null ? words.no_reading
        : trend.least[row] === trend.most[row] ? `${text(mean)} ${unit}`
        : `${text(trend.least[row])} – ${text(trend.most[row])} ${unit}, ${words.mean} ${text(mean)}`;
      readout.textContent = `${clock.format(new Date(at))}: ${span}`;
    };
    svg.addEventListener("pointermove", (event) => {
      const part = share(event);
      tell(part);
      if (from === null) return;
      drawn.setAttribute("x", `${100 * Math.min(from, part)}%`);
      drawn.setAttribute("width", `${100 * Math.abs(part - from)}%`);
      drawn.setAttribute("visibility", "visible");
    });
    svg.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "touch") return; // what was tapped stays
      hair.setAttribute("visibility", "hidden");
      readout.textContent = "";
    });
    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      from = share(event);
      tell(from);
      svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    // a finger that moves up or down scrolls the page: the browser takes it over
    svg.addEventListener("pointercancel", () => { from = null; drawn.setAttribute("visibility", "hidden"); });
    svg.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const parts = [from, share(event)].sort((a, b) => a - b);
      from = null;
      drawn.setAttribute("visibility", "hidden");
      const [low, high] = parts.map((part) => Math.round(start + part * (end - start)));
      if (parts[1] - parts[0] < (event.pointerType === "touch" ? 0.06 : 0.01) || high - low < 60000) return;
      const there = new URL(location.href);
      there.search = "";
      there.searchParams.set("from", new Date(low).toISOString());
      there.searchParams.set("to", new Date(high).toISOString());
      location.assign(there);
    });
  }
  for (const hint of document.querySelectorAll(".needs-script")) hint.hidden = false;
})();
