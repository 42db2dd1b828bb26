// The console inside openFuyao's page: its website fetches this text and runs it when a page of the plugin opens.
// It has no import or export, since it is run as the body of a function; it mounts into #colocation_root, whose class
// names the page. A shadow root keeps the two pages' styles apart; an iframe is not allowed there.
"use strict";
(() => {
  const PAGES = { ColocationOverview: "", ColocationConfiguration: "policies", ColocationNodes: "nodes", ColocationMonitor: "monitor" };
  const host = document.getElementById("colocation_root");
  if (!host) return;
  const cluster = (location.pathname.match(/^\/clusters\/[^/]+(?=\/)/) || [""])[0];
  const base = `${location.origin}${cluster}/proxy/colocation/`;
  const root = host.shadowRoot || host.attachShadow({ mode: "open" });
  const ended = new AbortController();
  let page = `${base}${PAGES[[...host.classList].find((name) => name in PAGES)] || ""}`;
  let stop = () => {};

  const dark = () => {
    const chosen = localStorage.getItem("theme") || document.documentElement.dataset.theme || "";
    host.dataset.theme = chosen.includes("dark") ? "dark" : "light";
  };

  const loaded = new Map();
  const script = (source) => {
    if (!loaded.has(source)) {
      loaded.set(source, new Promise((done, failed) => {
        const one = document.createElement("script");
        Object.assign(one, { src: source, onload: done, onerror: failed });
        document.head.append(one);
      }));
    }
    return loaded.get(source);
  };

  const show = async (link, options = {}) => {
    const answer = await fetch(link, { credentials: "same-origin", signal: ended.signal, ...options });
    if (!answer.headers.get("Content-Type").startsWith("text/html")) { location.assign(link); return; }
    page = answer.url;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const one of found.querySelectorAll("link[rel=stylesheet]")) one.setAttribute("href", new URL(one.getAttribute("href"), page));
    for (const one of found.querySelectorAll("script[src]")) await script(new URL(one.getAttribute("src"), page).href);
    stop();
    const shell = document.createElement("div");
    shell.className = found.body.className;
    Object.assign(shell.dataset, found.body.dataset);
    shell.append(...found.body.childNodes);
    root.replaceChildren(...found.querySelectorAll("link[rel=stylesheet]"), shell);
    stop = window.colocationConsole({
      root, shell, here: () => page, go: (to) => show(to), keep: (to) => { page = to; },
    });
    root.querySelector("main").focus({ preventScroll: true });
  };

  root.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (event.defaultPrevented || !link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const to = link.getAttribute("href");
    if (to.startsWith("#")) return;
    event.preventDefault();
    const address = new URL(to, page);
    if (address.href.startsWith(base)) { if (!link.dataset.fragment) show(address); return; }
    window.postMessage({ type: "subToMainMsg", url: address.pathname, isInsertMainPrefix: false, data: {} }, location.origin);
  });
  root.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    const form = event.target;
    const fields = new URLSearchParams(new FormData(form, event.submitter));
    const address = new URL(form.getAttribute("action"), page);
    if (form.method === "post") show(address, { method: "POST", body: fields });
    else { address.search = fields; show(address); }
  });
  addEventListener("message", (event) => {
    if (event.origin !== location.origin || !event.data) return;
    if (event.data.type === "colocationOverviewPageDestory") { ended.abort(); stop(); root.replaceChildren(); }
  }, { signal: ended.signal });
  addEventListener("storage", dark, { signal: ended.signal });

  dark();
  show(page).catch((error) => { if (error.name !== "AbortError") root.textContent = String(error); });
})();
