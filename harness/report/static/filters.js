// The filters that all charts and tables of a page share. A row of the page has a value (or several) for each facet.
"use strict";
harness.filters = (() => {
  const { facets, rows } = JSON.parse(document.getElementById("page-facets").textContent);
  const selects = [...document.querySelectorAll("select[data-facet]")];
  const chosen = () => Object.fromEntries(selects.map((select) => [select.dataset.facet, select.value]));
  const fits = (value, wanted) => !wanted || (Array.isArray(value) ? value.includes(wanted) : value === wanted);
  const count = document.getElementById("filter-count");
  let now = {};
  const api = {
    chosen,
    // Whether a row of the page, by its number, is to be seen; a chart over threads ignores the filter of threads.
    row: (at, ignored) => facets.every((name, place) => !rows[at] || (ignored || []).includes(name) || fits(rows[at][place], now[name])),
    // Whether something with facet values of its own is to be seen.
    values: (own) => Object.entries(own || {}).every(([name, value]) => fits(value, now[name])),
    apply() {
      now = chosen();
      for (const row of document.querySelectorAll("tr[data-at]")) row.hidden = !api.row(Number(row.dataset.at));
      for (const part of document.querySelectorAll("[data-rows]")) part.hidden = !part.dataset.rows.split(" ").some((at) => api.row(Number(at)));
      for (const name of facets) {
        for (const part of document.querySelectorAll(`[data-facet-${name}]`)) {
          part.classList.toggle(`not-${name}`, !fits(part.getAttribute(`data-facet-${name}`), now[name]));
          part.hidden = [...part.classList].some((kind) => kind.startsWith("not-"));
        }
      }
      for (const part of document.querySelectorAll("[data-only-host]")) part.hidden = Boolean(now.host) && !part.dataset.onlyHost.split(" ").includes(now.host);
      document.querySelectorAll(".table-box").forEach(harness.tables.nothing);
      if (count) count.textContent = rows.filter((_, at) => api.row(at)).length + " of " + rows.length + " measurements";
      document.dispatchEvent(new Event("harness:filter"));
    },
  };
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const select of selects) {
    const value = asked.get(select.dataset.facet);
    if (value !== null && [...select.options].some((option) => option.value === value)) select.value = value;
    select.addEventListener("change", () => {
      const state = new URLSearchParams(Object.entries(chosen()));
      history.replaceState(null, "", "#" + state);
      api.apply();
    });
  }
  now = chosen();
  return api;
})();
