// Tables: sort by a heading, search, copy as tab-separated text.
"use strict";
harness.tables = {
  value(row, place) {
    const cell = row.cells[place];
    const kept = cell.dataset.sort;
    if (kept === undefined) return cell.textContent.trim();
    const number = Number(kept === "inf" ? Infinity : kept);
    return Number.isNaN(number) ? kept : number;
  },
  compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a === b ? 0 : a < b ? -1 : 1;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  },
  sort(heading) {
    const table = heading.closest("table");
    const place = [...heading.parentNode.children].indexOf(heading);
    const down = heading.getAttribute("aria-sort") === "ascending";
    heading.parentNode.querySelectorAll("th[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [harness.tables.value(row, place), row]);
    rows.sort(([a], [b]) => {
      if (a === Infinity || b === Infinity) return a === b ? 0 : a === Infinity ? 1 : -1; // absent ones last, either way
      return harness.tables.compare(a, b) * (down ? -1 : 1);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  },
  text(table) {
    const lines = [...table.rows].filter((row) => !row.hidden && !row.classList.contains("unfound"));
    return lines.map((row) => [...row.cells].map(harness.tables.said).join("\t")).join("\n");
  },
  // What a cell says, without those of its parts that the filters hide.
  said(cell) {
    const parts = [...cell.querySelectorAll(".part")];
    return parts.length ? parts.filter((part) => !part.hidden).map((part) => part.textContent).join(" ") : cell.textContent.trim();
  },
  // Says at which edges a table goes on: without that nobody scrolls it on a phone.
  edges(box) {
    box.classList.toggle("more-right", box.scrollWidth - box.clientWidth - box.scrollLeft > 2);
    box.classList.toggle("more-down", box.scrollHeight - box.clientHeight - box.scrollTop > 2);
  },
  // Says so where filters and search leave no line.
  nothing(box) {
    const rows = [...box.querySelectorAll("tbody tr")];
    box.classList.toggle("nothing", rows.length > 0 && rows.every((row) => row.hidden || row.classList.contains("unfound")));
  },
  async copy(button) {
    const text = harness.tables.text(button.closest(".table-box").querySelector("table"));
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // file:// pages may not use the clipboard API
      const area = harness.element("textarea", { class: "off" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  },
  search(field) {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of field.closest(".table-box").querySelectorAll("tbody tr")) {
      const text = row.textContent.toLowerCase();
      row.classList.toggle("unfound", !wanted.every((word) => text.includes(word)));
    }
    harness.tables.nothing(field.closest(".table-box"));
  },
};
// A table with its heading, from cells of [text, what it is sorted by]; a column named with a # is one of numbers.
harness.tables.make = (caption, columns, rows) => {
  const { element } = harness;
  // The columns before the first number say what a row is: on a phone they are one.
  const lead = Math.max(columns.findIndex((name) => name.endsWith("#")), 1);
  const kind = (name) => (name.endsWith("#") ? { class: "num" } : columns.indexOf(name) > 0 && columns.indexOf(name) < lead ? { class: "lead" } : {});
  const head = element("tr", {}, ...columns.map((name) =>
    element("th", { scope: "col", "aria-sort": "none", ...kind(name) }, element("button", { type: "button", class: "sort" }, name.replace(/#$/, "")))));
  const body = element("tbody", {}, ...rows.map(({ cells, ...known }) => element("tr", known, ...cells.map(([text, sort], place) =>
    element("td", { ...kind(columns[place]), ...(place === 0 && lead > 1 ? { "data-under": cells.slice(1, lead).map(([said]) => said).join("\n") } : {}), ...(sort === null || sort === undefined ? {} : { "data-sort": String(sort) }) }, text)))));
  return element("div", { class: "table-box" },
    element("div", { class: "table-tools" }, element("button", { type: "button", class: "quiet copy" }, "Copy")),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, element("table", {},
      element("caption", { class: "hidden" }, caption), element("thead", {}, head), body)));
};
// The table under a chart takes columns of the page's grid; it is made when it is opened.
document.addEventListener("toggle", (event) => {
  const box = event.target;
  if (!box.matches("details.pick[open]") || box.querySelector("table")) return;
  const grid = JSON.parse(document.getElementById("page-grid").textContent);
  const columns = box.dataset.columns.split("\t");
  const rows = grid.at.map((at, place) => ({ "data-at": String(at), cells: columns.map((name) => grid.columns[name].map((part) => part[place])) }));
  box.append(harness.tables.make(box.dataset.caption, columns, rows));
  harness.filters.apply();
}, true);
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.matches("th .sort")) harness.tables.sort(button.closest("th"));
  if (button.matches(".copy")) harness.tables.copy(button);
});
document.addEventListener("input", (event) => {
  if (event.target.matches(".table-search")) harness.tables.search(event.target);
});
{
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => harness.tables.edges(target.closest(".scroll"))));
  const follow = (root) => {
    for (const box of root.querySelectorAll(".scroll")) {
      sizes.observe(box);
      if (box.querySelector("table")) sizes.observe(box.querySelector("table"));
    }
  };
  follow(document);
  new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach((node) => { if (node.querySelectorAll) follow(node); })))
    .observe(document.body, { childList: true, subtree: true });
  document.addEventListener("scroll", (event) => {
    if (event.target.matches && event.target.matches(".scroll")) harness.tables.edges(event.target);
  }, { capture: true, passive: true });
}
