// What pages do beyond links and forms: parts that follow the cluster, a filter while typing, charts, local times.
// Everything else works without it. Markup comes from this console's own server, and was escaped there.
// `colocationConsole(place)` starts it for one page: the whole document, or a shadow root in openFuyao's page.
"use strict";
window.colocationConsole = ({ root, shell, here, go, keep }) => {
  const policy = window.trustedTypes
    ? (window.colocationPolicy ||= trustedTypes.createPolicy("colocation", { createHTML: (text) => text }))
    : null;
  const ended = new AbortController();
  const { signal } = ended;
  const zone = document.documentElement.lang || "en";
  const words = JSON.parse(shell.dataset.words || "{}");
  const find = (selector) => root.querySelector(selector);
  const all = (selector, within = root) => within.querySelectorAll(selector);
  const address = (link) => new URL(link, here()).href;
  const say = (sentence, values = {}) =>
    Object.entries(values).reduce((text, [name, value]) => text.replaceAll(`{${name}}`, value), words[sentence] || sentence);
  const on = (kind, act) => root.addEventListener(kind, act, { signal });

  // -- times in the browser's zone, UTC in the title ---------------------------------------------------------------
  const when = (at, how = { dateStyle: "short", timeStyle: "medium" }) => new Date(at).toLocaleString(zone, { hour12: false, ...how });
  const localTimes = (within) => {
    for (const one of all("time[datetime]:not([title])", within)) {
      if (isNaN(new Date(one.dateTime))) continue;
      one.title = one.textContent;
      one.textContent = when(one.dateTime);
    }
  };

  // -- parts of the page, fetched and put in place -----------------------------------------------------------------
  let asked = 0;
  const newest = new Map();
  const fetched = async (link) => {
    const answer = await fetch(address(link), { headers: { "X-Fragment": "1" }, credentials: "same-origin", signal });
    if (answer.status === 401 || answer.url.includes("/login")) throw Object.assign(new Error("signed out"), { out: true });
    const text = await answer.text();
    return { ok: answer.ok, page: new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html") };
  };
  const keyOf = (one) => {
    if (one.id) return `#${CSS.escape(one.id)}`;
    for (const name of ["href", "value", "name"]) {
      const value = one.getAttribute(name);
      if (value) return `${one.localName}[${name}="${CSS.escape(value)}"]`;
    }
    return one.localName;
  };
  const pathOf = (one, top) => {
    const parts = [];
    for (let at = one; at !== top; at = at.parentElement) parts.push([...at.parentElement.children].indexOf(at));
    return parts.join(".");
  };
  // Focus, open details, chosen rows and the scroll position outlive the replacement.
  const place = (old, fresh) => {
    const focused = root.activeElement && old.contains(root.activeElement) ? keyOf(root.activeElement) : null;
    const open = new Set([...all("details[open] > summary", old)].map((one) => pathOf(one, old)));
    const chosen = new Set([...all("input[name=names]:checked", old)].map((one) => one.value));
    const left = [...all(".scroll", old)].map((one) => one.scrollLeft);
    old.replaceChildren(...fresh.childNodes);
    for (const one of all("summary", old)) if (open.has(pathOf(one, old))) one.parentElement.open = true;
    for (const one of all("input[name=names]", old)) one.checked = chosen.has(one.value);
    all(".scroll", old).forEach((one, at) => { one.scrollLeft = left[at] || 0; });
    if (focused) {
      const next = old.querySelector(focused) || old;
      if (next === old) old.tabIndex = -1;
      next.focus({ preventScroll: true });
    }
    ready(old);
  };
  const refresh = async (selector, link, { push = false } = {}) => {
    const mine = ++asked;
    newest.set(selector, mine);
    const old = find(selector);
    if (!old) return;
    old.setAttribute("aria-busy", "true");
    try {
      const { ok, page } = await fetched(link);
      if (newest.get(selector) !== mine) return;
      const fresh = page.querySelector(selector);
      if (ok && fresh) {
        place(old, fresh);
        const [age, header] = [page.querySelector("#asof"), find("#asof")];
        if (age && header) header.textContent = age.textContent;
        if (push) keep(address(link));
      } else if (push) go(address(link));
    } catch (error) {
      if (error.out) over("Your session has ended.");
      else if (push && error.name !== "AbortError") go(address(link));
    } finally {
      old.removeAttribute("aria-busy");
    }
  };

  on("click", (event) => {
    const link = event.target.closest("a[data-fragment]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    refresh(link.dataset.fragment, link.getAttribute("href"), { push: true });
    const given = new URL(address(link.getAttribute("href"))).searchParams; // a filter goes on in the new order
    for (const one of all("form[data-live] input[type=hidden]")) one.value = given.get(one.name) || one.value;
  });

  // -- filters while typing ----------------------------------------------------------------------------------------
  let typing;
  const filtered = (form) => {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) query.append(name, value);
    const link = `${form.getAttribute("action")}?${query}`;
    refresh(form.dataset.live, link).then(() => keep(address(link), true));
    const csv = form.querySelector("[data-csv]");
    if (csv) csv.setAttribute("href", csv.getAttribute("href").replace(/\?.*|$/, `?${query}`));
  };
  on("input", (event) => {
    const form = event.target.closest("form[data-live]");
    if (form) {
      clearTimeout(typing);
      typing = setTimeout(() => filtered(form), event.target.type === "search" ? 120 : 0);
    }
    if (event.target.matches("input[data-must]")) lock(event.target);
  });
  on("submit", (event) => {
    if (event.target.matches("form[data-live]")) { event.preventDefault(); filtered(event.target); return; }
    for (const button of all("button[data-confirm]", event.target)) setTimeout(() => { button.disabled = true; });
  });
  on("change", (event) => {
    if (event.target.matches("[data-all]")) {
      for (const one of all("input[name=names]", event.target.closest("table"))) one.checked = event.target.checked;
    }
    if (event.target.matches("form[data-submit] select")) event.target.form.requestSubmit();
  });
  const lock = (must) => {
    const button = must.form.querySelector("[data-confirm]");
    if (button) button.disabled = must.value !== must.dataset.must;
  };

  // -- charts ------------------------------------------------------------------------------------------------------
  const colour = (name) => getComputedStyle(shell).getPropertyValue(name).trim();
  const scaled = (value, step, units) => {
    let place = 0;
    while (Math.abs(value) >= step && place < units.length - 1) { value /= step; place += 1; }
    return `${+value.toFixed(Math.abs(value) < 10 ? 2 : 1)} ${units[place]}`.trim();
  };
  const numberOf = {
    cores: (value) => scaled(value, 1000, ["", "k", "M"]),
    bytes: (value) => scaled(value, 1024, ["", "Ki", "Mi", "Gi", "Ti", "Pi"]),
    percent: (value) => `${+value.toFixed(1)} %`,
    count: (value) => String(+value.toFixed(2)),
  };
  const dashes = [undefined, [6, 3], [2, 3], [9, 3, 2, 3], [1, 2], [12, 4]];
  const width = (plot) => Math.max(220, plot.clientWidth);
  const source_of = (found) => (found.source === "prometheus" ? say("From Prometheus.")
    : say("From this console's memory, since {since}.", { since: found.since ? when(found.since) : "–" }));
  const draw = async (figure) => {
    const plot = figure.querySelector(".plot");
    const note = figure.querySelector("[data-source]");
    const answer = await fetch(address(figure.dataset.chart), { credentials: "same-origin", signal });
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      note.textContent = say("This chart cannot be shown now: {why}", { why: found.detail || answer.status });
      return;
    }
    note.textContent = source_of(found);
    if (!found.series.some((line) => line.values.some((value) => value != null)) || !window.uPlot) {
      plot.textContent = say("No data in this range yet.");
      return;
    }
    const shown = numberOf[found.unit] || numberOf.count;
    const long = found.times[found.times.length - 1] - found.times[0] > 2 * 86400;
    const tick = (at) => when(at * 1000, long ? { month: "2-digit", day: "2-digit" } : { hour: "2-digit", minute: "2-digit" });
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const options = {
      width: width(plot), height: 180, cursor: { points: { size: 7 } },
      axes: [{ ...axis, values: (_chart, ticks) => ticks.map(tick) },
             { ...axis, size: 66, values: (_chart, ticks) => ticks.map(shown) }],
      series: [{ label: say("Time"), value: (_chart, at) => (at == null ? "–" : when(at * 1000)) },
        ...found.series.map((line, at) => ({
          label: words[line.label] || line.label, stroke: colour(`--s${(at % 6) + 1}`), width: 1.5, dash: dashes[at % 6],
          value: (_chart, value) => (value == null ? "–" : shown(value)),
          points: { show: line.values.filter((value) => value != null).length < 60 },
        }))],
    };
    if (plot.made) plot.made.destroy();
    plot.replaceChildren();
    plot.made = new uPlot(options, [found.times, ...found.series.map((line) => line.values)], plot);
    plot.dataset.drawn = found.series.length;
  };
  on("keydown", (event) => {
    const made = event.target.made;
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!made || !step) return;
    event.preventDefault();
    const [times, last] = [made.data[0], made.data[0].length - 1];
    const from = made.cursor.idx == null ? (step > 0 ? -1 : last + 1) : made.cursor.idx;
    const at = Math.min(last, Math.max(0, from + step));
    made.setCursor({ left: made.valToPos(times[at], "x"), top: 10 });
    const values = made.series.slice(1).map((line, place) => `${line.label} ${line.value(made, made.data[place + 1][at])}`);
    announce(`${when(times[at] * 1000)}: ${values.join(", ")}`);
  });
  const redraw = () => { for (const figure of all("figure.chart")) draw(figure).catch(() => {}); };
  if (window.ResizeObserver) {
    const watch = new ResizeObserver(() => {
      for (const plot of all("figure.chart .plot")) if (plot.made) plot.made.setSize({ width: width(plot), height: 180 });
    });
    watch.observe(find("main"));
    signal.addEventListener("abort", () => watch.disconnect());
  }

  // -- live --------------------------------------------------------------------------------------------------------
  const status = find("#live");
  const announce = (text) => { status.className = "hidden"; status.textContent = text; };
  const calm = () => { if (status.className !== "hidden") announce(""); };
  const warn = (text) => { status.className = "banner bad"; status.textContent = text; };
  let source, waiting, since = 0;
  const over = (sentence) => {
    if (source) source.close();
    const base = new URL(address(shell.dataset.base)).pathname;
    const now = new URL(here());
    warn(`${say(sentence)} `);
    const link = document.createElement("a");
    link.href = `${address(shell.dataset.base)}login?goTo=${encodeURIComponent(now.pathname.slice(base.length - 1) + now.search)}`;
    link.textContent = say("Sign in");
    status.append(link);
  };
  // At most one refresh in two seconds, and none of a part in which somebody has chosen rows.
  const parts = new Set();
  const renew = (part) => {
    parts.add(part);
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      since = Date.now();
      for (const one of all("[data-part]")) {
        if (!parts.has(one.dataset.part) || one.querySelector("input[name=names]:checked")) continue;
        one.id ||= `part-${one.dataset.part}`;
        refresh(`#${one.id}`, here());
      }
      parts.clear();
    }, Math.max(0, 2000 - (Date.now() - since)));
  };
  const timers = [];
  let failures = 0;
  const told = (event) => { try { return JSON.parse(event.data); } catch { return {}; } };
  const listen = () => {
    if (!shell.dataset.stream || !window.EventSource || signal.aborted) return;
    source = new EventSource(address(shell.dataset.stream));
    source.addEventListener("open", () => { failures = 0; calm(); });
    let first = true; // the page has just been made of the same report
    source.addEventListener("summary", () => { calm(); if (!first) renew("summary"); first = false; });
    source.addEventListener("changed", () => renew("nodes"));
    source.addEventListener("policy", () => renew("policy"));
    source.addEventListener("away", (event) => {
      const { what, since: from } = told(event);
      if (from == null) calm();
      else warn(say(what === "apiserver" ? "The API server does not answer; trying again…"
        : "The manager does not answer: the data is the last that it gave."));
    });
    source.addEventListener("bye", (event) => over(told(event).why === "denied"
      ? "You no longer have the right to see this." : "Your session has ended."));
    source.addEventListener("error", () => {
      failures += 1; // the first one may be a place that a page before this one still holds
      if (failures > 1 && status.className !== "banner bad") warn(say("Connection lost; trying again…"));
      if (source.readyState === EventSource.CLOSED) timers.push(setTimeout(listen, 5000));
    });
  };
  signal.addEventListener("abort", () => { if (source) source.close(); clearTimeout(waiting); clearTimeout(typing); });

  // -- pages that try again, and charts that are drawn again ---------------------------------------------------------
  const again = find("[data-retry]");
  if (again) timers.push(setTimeout(() => go(here()), 1000 * Number(again.dataset.retry)));
  const pause = find("select[data-refresh]");
  const seconds = { "15s": 15, "30s": 30, "1m": 60, "5m": 300, "1d": 86400 }[pause && pause.value];
  if (seconds) timers.push(setInterval(redraw, seconds * 1000));
  signal.addEventListener("abort", () => timers.forEach(clearTimeout));

  const ready = (within) => {
    localTimes(within);
    for (const must of all("input[data-must]", within)) lock(must);
  };
  ready(root);
  redraw();
  listen();
  const wrong = find("#problems");
  if (wrong) wrong.focus();
  return () => ended.abort();
};

if (document.body && document.body.dataset.words) {
  const whole = () => location.href.split("#")[0];
  let shown = whole();
  const stop = window.colocationConsole({
    root: document,
    shell: document.body,
    here: () => location.href,
    go: (link) => (link === location.href ? location.reload() : location.assign(link)),
    keep: (link, replace) => { history[replace ? "replaceState" : "pushState"](null, "", link); shown = whole(); },
  });
  // The way back to another page of a table; a jump within the page is none.
  addEventListener("popstate", () => { if (whole() !== shown) location.reload(); });
  addEventListener("pagehide", (event) => { if (!event.persisted) stop(); });
}
