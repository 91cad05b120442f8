// The filters that all charts and tables of a page share. A row of the page has a value (or several) for each facet.
"use strict";
harness.filters = (() => {
  const { facets, rows } = JSON.parse(document.getElementById("page-facets").textContent);
  const selects = [...document.querySelectorAll("select[data-facet]")];
  const chosen = () => Object.fromEntries(selects.map((select) => [select.dataset.facet, select.value]));
  const fits = (value, wanted) => !wanted || (Array.isArray(value) ? value.includes(wanted) : value === wanted);
  const api = {
    chosen,
    // Whether a row of the page, by its number, is to be seen; a chart over threads ignores the filter of threads.
    row(at, ignored) {
      const now = chosen();
      return facets.every((name, place) => !rows[at] || (ignored || []).includes(name) || fits(rows[at][place], now[name]));
    },
    // Whether something with facet values of its own is to be seen.
    values(own) {
      const now = chosen();
      return Object.entries(own || {}).every(([name, value]) => fits(value, now[name]));
    },
    apply() {
      for (const row of document.querySelectorAll("tr[data-at]")) row.hidden = !api.row(Number(row.dataset.at));
      for (const name of facets) {
        const wanted = chosen()[name];
        for (const row of document.querySelectorAll(`tr[data-facet-${name}]`)) {
          row.classList.toggle(`not-${name}`, !fits(row.getAttribute(`data-facet-${name}`), wanted));
          row.hidden = [...row.classList].some((kind) => kind.startsWith("not-"));
        }
      }
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
  return api;
})();
