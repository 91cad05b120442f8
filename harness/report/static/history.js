// The history: a line per series, made as far as it is scrolled to, and the chart of the one that is chosen.
"use strict";
harness.series = (() => {
  const { element } = harness;
  const root = document.body.dataset.root;

  // A figure relative to one of its points: values and their intervals are divided by it.
  function relative(figure, place) {
    const main = figure.data[figure.data.length - 1];
    const base = place === "" ? null : main.y[Number(place)];
    if (!base) return figure;
    const divide = (values) => (values || []).map((value) => (value === null ? null : value / base));
    const data = figure.data.map((trace) => ({
      ...trace, y: divide(trace.y),
      ...(trace.error_y ? { error_y: { ...trace.error_y, array: divide(trace.error_y.array), arrayminus: divide(trace.error_y.arrayminus) } } : {}),
    }));
    const layout = { ...figure.layout, yaxis: { ...figure.layout.yaxis, title: { text: "ratio to " + main.customdata[Number(place)][0] } } };
    return { data, layout };
  }

  const digits = (value) => (value === 0 ? "0" : Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));

  function table(found) {
    const main = found.figure.data[found.figure.data.length - 1];
    const unit = main.meta.unit ? " " + main.meta.unit : "";
    const body = element("tbody");
    found.points.forEach(([revision, when, subject, url], place) => {
      const commit = url ? element("a", { href: url }, revision) : revision;
      const middle = main.y[place];
      const value = digits(middle) + unit;
      const ends = main.error_y;
      const interval = ends && (ends.array[place] || ends.arrayminus[place]) ? digits(middle - ends.arrayminus[place]) + " to " + digits(middle + ends.array[place]) + unit : "-";
      body.append(element("tr", {}, element("td", { class: "nowrap" }, commit), element("td", { class: "nowrap" }, when), element("td", {}, subject), element("td", { class: "num", "data-sort": String(middle) }, value), element("td", { class: "num" }, interval)));
    });
    const head = element("tr", {}, ...["commit", "time (UTC)", "subject", "value", found.confidence + " interval"].map((name) =>
      element("th", { scope: "col", "aria-sort": "none" }, element("button", { type: "button", class: "sort" }, name))));
    const box = element("div", { class: "table-box" }, element("div", { class: "table-tools" }, element("button", { type: "button", class: "quiet copy" }, "Copy")),
      element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), body)));
    return element("details", {}, element("summary", {}, "The same as a table"), box);
  }

  // Draws a series into `box`: its metrics to choose from, its chart, its changes and its table.
  async function show(box, key, src, metric) {
    const found = await harness.load("series", key, src);
    const runs = await harness.load("runs", "all", root + "data/runs.js");
    for (const one of Object.values(found.metrics)) {
      one.points = (one.at || found.at).map((number) => runs[number]); // most metrics have the same points
      // A chart takes text for markup where it can.
      one.figure.data[one.figure.data.length - 1].customdata = one.points.map((point) => point.map((text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;")));
    }
    const names = Object.keys(found.metrics);
    const select = element("select", {}, ...names.map((name) => element("option", { value: name }, found.metrics[name].title)));
    select.value = names.includes(metric) ? metric : names[0];
    const baseline = element("select", { "data-baseline": "" });
    const controls = element("div", { class: "filters" }, element("label", {}, "Metric", select), element("label", {}, "Relative to", baseline));
    const chart = element("div", { "data-chart": "series" }, element("div", { class: "plot", role: "img", "aria-label": found.case }));
    const said = element("ul", { class: "notes" });
    const below = element("div");
    box.replaceChildren(
      element("h3", {}, box.id ? (found.page ? element("a", { href: root + found.page }, found.case) : found.case) : found.host + ", " + found.runtime),
      element("p", { class: "note" }, [found.host, found.runtime, found.weights && "weights " + found.weights, found.source && "from asv's files, environment " + found.source].filter(Boolean).join(", ")), controls, chart, said, below);
    box.hidden = false;
    const draw = async (fresh) => {
      const one = found.metrics[select.value];
      const main = one.figure.data[one.figure.data.length - 1];
      if (fresh) {
        baseline.replaceChildren(element("option", { value: "" }, "nothing (absolute)"), ...one.points.map(([name], place) => element("option", { value: String(place) }, name)));
        said.replaceChildren(...[...one.changes, ...(one.abstained ? ["not judged: " + one.abstained] : [])].map((text) => element("li", {}, text)));
        below.replaceChildren(table(one));
      }
      await harness.charts.show(chart, relative(one.figure, baseline.value));
      const plot = chart.querySelector(".plot");
      plot.removeAllListeners("plotly_click");
      plot.on("plotly_click", (event) => {
        const url = (one.points[event.points[0].pointNumber] || [])[3];
        if (typeof url === "string" && /^https?:\/\//.test(url)) open(url, "_blank", "noopener");
      });
    };
    select.addEventListener("change", () => draw(true));
    baseline.addEventListener("change", () => draw(false));
    await draw(true);
  }

  document.addEventListener("click", (event) => {
    const box = event.target.matches("button.ask") && event.target.closest(".series");
    if (box) show(box, box.dataset.series, box.dataset.src, "latency").catch((error) => { event.target.textContent = error.message; });
  });
  return { show, relative };
})();

harness.history = (() => {
  const table = document.getElementById("history-table");
  if (!table) return null;
  const { element } = harness;
  const CHUNK = 60;
  const root = document.body.dataset.root;
  const hosts = JSON.parse(document.getElementById("history-hosts").textContent);
  const byId = (id) => document.getElementById(id);
  const metric = byId("metric");
  let lines = [], shown = [], made = 0, sort = { key: null, down: false };

  function spark(heights) {
    const ns = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(ns, "svg");
    svg.setAttribute("viewBox", "0 -4 120 32");
    svg.setAttribute("class", "spark");
    svg.setAttribute("aria-hidden", "true");
    const step = heights.length > 1 ? 120 / (heights.length - 1) : 0;
    const line = document.createElementNS(ns, "polyline");
    line.setAttribute("points", heights.map((height, place) => `${(place * step).toFixed(1)},${(24 - height * 0.24).toFixed(1)}`).join(" "));
    svg.append(line);
    return svg;
  }

  function row(line) {
    const open = element("button", { type: "button", class: "link", "data-key": line.id }, ...line.case.split("/").flatMap((part, place) => place ? ["/", document.createElement("wbr"), part] : [part]));
    const moved = element("td", { class: "num" }, line.change);
    const mark = element("td", { class: "mark" }, line.mark);
    return element("tr", { "data-id": line.id }, element("td", { class: "long", "data-under": (hosts[line.host] || line.host) + "\n" + line.runtime }, open), element("td", { class: "lead" }, hosts[line.host] || line.host), element("td", { class: "lead" }, line.runtime),
      element("td", { class: "num" }, String(line.points)), element("td", { class: "num" }, line.value), moved, mark, element("td", {}, spark(line.spark)));
  }

  // More rows while the end is near: thousands of series cost nothing until somebody scrolls there.
  function more() {
    const box = byId("history-scroll");
    while (made < shown.length && box.scrollTop + box.clientHeight * 2 + 400 > table.offsetHeight) {
      table.tBodies[0].append(...shown.slice(made, made + CHUNK).map(row));
      made += CHUNK;
    }
  }

  function filter() {
    const words = byId("history-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const host = byId("history-host") ? byId("history-host").value : "";
    const changed = byId("history-changed").checked;
    shown = lines.filter((line) => (!host || line.host === host) && (!changed || line.changed) && words.every((word) => line.text.includes(word)));
    if (sort.key) shown.sort((a, b) => {
      const [x, y] = [a[sort.key], b[sort.key]];
      if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
      return harness.tables.compare(x, y) * (sort.down ? -1 : 1);
    });
    byId("history-count").textContent = `${shown.length} of ${lines.length} series`;
    made = 0;
    table.tBodies[0].replaceChildren();
    byId("history-scroll").scrollTop = 0;
    more();
  }

  async function load() {
    const found = await harness.load("history", metric.value, root + metric.selectedOptions[0].dataset.src);
    lines = found.lines.map((values) => {
      const line = Object.fromEntries(found.fields.map((name, place) => [name, values[place]]));
      line.text = `${line.case} ${line.runtime} ${hosts[line.host] || line.host}`.toLowerCase();
      return line;
    });
    filter();
  }

  async function choose(key) {
    const view = byId("series-view");
    await harness.series.show(view, key, root + "data/series/" + key + ".js", metric.value);
    history.replaceState(null, "", "#series=" + key + "&metric=" + metric.value);
    view.scrollIntoView({ block: "start" });
  }

  metric.addEventListener("change", load);
  for (const id of ["history-search", "history-host", "history-changed"]) if (byId(id)) byId(id).addEventListener("input", filter);
  byId("history-scroll").addEventListener("scroll", more, { passive: true });
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const heading = event.target.closest("th[data-key]");
    if (heading && button) {
      sort = { key: heading.dataset.key, down: sort.key === heading.dataset.key && !sort.down };
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      filter();
    } else if (button && button.dataset.key) choose(button.dataset.key);
  });
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.get("metric") && [...metric.options].some((option) => option.value === asked.get("metric"))) metric.value = asked.get("metric");
  const ready = load();
  if (/^[\w-]+$/.test(asked.get("series") || "")) ready.then(() => choose(asked.get("series")));
  return { ready, choose };
})();
