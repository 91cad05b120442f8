// What every page needs first: light or dark, and a way to receive data from scripts (file:// has no fetch).
"use strict";
var harness = {
  site: {}, received: {}, waiting: {},
  receive(kind, key, value) {
    const name = kind + "/" + key;
    harness.received[name] = value;
    (harness.waiting[name] || []).forEach((done) => done(value));
    delete harness.waiting[name];
  },
  // Resolves with what the script at `src` hands to `receive`.
  load(kind, key, src) {
    const name = kind + "/" + key;
    if (name in harness.received) return Promise.resolve(harness.received[name]);
    return new Promise((resolve, reject) => {
      const first = !harness.waiting[name];
      (harness.waiting[name] = harness.waiting[name] || []).push(resolve);
      if (!first) return;
      const script = document.createElement("script");
      script.src = src;
      script.onerror = () => { delete harness.waiting[name]; reject(new Error(src + " is missing: make the report again")); };
      document.head.append(script);
    });
  },
  dark: () => document.documentElement.dataset.theme === "dark",
  remember(key, value) { try { localStorage.setItem("harness-" + key, value); } catch { /* private windows forget */ } },
  recall(key) { try { return localStorage.getItem("harness-" + key); } catch { return null; } },
  element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "class") made.className = value; else if (value !== null && value !== undefined) made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  },
};
(() => {
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const set = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    document.dispatchEvent(new Event("harness:theme"));
  };
  const kept = harness.recall("theme");
  set(kept ? kept === "dark" : preferred.matches);
  preferred.addEventListener("change", (event) => { if (!harness.recall("theme")) set(event.matches); });
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const dark = !harness.dark();
      harness.remember("theme", dark ? "dark" : "light");
      set(dark);
    });
    const made = document.getElementById("made");
    if (made && harness.site.made) made.textContent = "Made " + harness.site.made + " by";
    document.addEventListener("click", (event) => {
      document.querySelectorAll("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") document.querySelectorAll("details.menu[open]").forEach((menu) => { menu.open = false; });
    });
  });
})();
