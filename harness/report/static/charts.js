// Figures come ready from Python; here they are filtered, coloured by the theme, and drawn once they are in sight.
"use strict";
harness.charts = (() => {
  const drawn = new Map();
  const coarse = matchMedia("(pointer: coarse)").matches;
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The points of a trace whose rows the filters let through; null where nothing of it is left.
  function filtered(trace, ignored) {
    const meta = trace.meta || {};
    if (!harness.filters.values(meta.facets)) return null;
    if (meta.row !== undefined) return harness.filters.row(meta.row) ? trace : null;
    if (!meta.rows) return trace;
    const kept = meta.rows.map((row) => harness.filters.row(row, ignored));
    if (!kept.some(Boolean)) return null;
    if (kept.every(Boolean)) return trace;
    const cut = (value) => {
      if (!Array.isArray(value)) return value;
      if (value.length === kept.length && !Array.isArray(value[0])) return value.filter((_, place) => kept[place]);
      return value.every(Array.isArray) ? value.map(cut) : value;
    };
    const out = { ...trace };
    for (const key of ["x", "y", "text", "hovertext", "customdata"]) if (key in out) out[key] = cut(out[key]);
    for (const key of ["error_x", "error_y"]) {
      if (out[key]) out[key] = { ...out[key], array: cut(out[key].array), arrayminus: cut(out[key].arrayminus) };
    }
    if (out.marker) out.marker = { ...out.marker, symbol: cut(out.marker.symbol) };
    return out;
  }

  function themed(layout, width) {
    const grid = { gridcolor: style("--grid"), linecolor: style("--line"), zerolinecolor: style("--line"), tickcolor: style("--line") };
    const out = { ...layout, font: { ...layout.font, color: style("--text") } };
    out.hoverlabel = { ...layout.hoverlabel, bgcolor: style("--card"), bordercolor: style("--line"), font: { ...layout.hoverlabel.font, color: style("--text") } };
    for (const key of Object.keys(out)) if (/^[xy]axis\d*$/.test(key)) out[key] = { ...grid, ...out[key] };
    if (out.updatemenus) out.updatemenus = out.updatemenus.map((menu) => ({ ...menu, bgcolor: style("--card"), bordercolor: style("--line"), font: { color: style("--text"), size: 12 } }));
    if (width < 560) {
      out.margin = { ...layout.margin, l: 8, r: 8 };
      out.font = { ...out.font, size: 11 };
      if (out.legend) out.legend = { ...out.legend, font: { size: 11 } };
    }
    if (coarse) out.dragmode = false; // a finger on a chart scrolls the page
    return out;
  }

  function lines(traces) {
    const names = new Set();
    for (const trace of traces) {
      if (Array.isArray(trace.y && trace.y[0])) trace.y[0].forEach((_, place) => names.add(trace.y.map((part) => part[place]).join("/")));
      else (trace.y || []).forEach((value) => names.add(value));
    }
    return names.size;
  }

  // Cells say what fits into them. On a phone, and on paper, what stands above has to do: a colour bar would take what the cells need.
  function fit(traces, width) {
    traces.forEach((trace, place) => {
      if (!trace.texttemplate) return;
      const longest = Math.max(0, ...trace.text.flat().map((text) => text.replace(/<[^>]*>/g, "").length));
      const cell = (width - (width < 560 ? 150 : 380)) / Math.max(new Set(trace.x).size, 1);
      traces[place] = { ...trace, ...(width < (trace.colorbar && trace.colorbar.orientation === "h" ? 860 : 560) ? { showscale: false } : {}), ...(cell < 6.5 * longest + 4 ? { texttemplate: "" } : {}) };
    });
  }

  // Short words at the right of a line where there is no room for more.
  function brief(traces) {
    traces.forEach((trace, place) => {
      if (trace.mode === "text" && trace.customdata) traces[place] = { ...trace, text: trace.customdata, textfont: { size: 10 } };
    });
  }

  // On a phone: names on two lines, and fewer ticks.
  function narrow(traces, layout, wide) {
    const axis = layout.yaxis || {};
    if (axis.type === "category") {
      const names = [...new Set(traces.flatMap((trace) => trace.y || []))];
      layout.yaxis = { ...axis, tickvals: names, ticktext: names.map(folded), tickfont: { size: 10 } };
    }
    for (const key of ["xaxis", "yaxis"]) {
      const { tickvals, ticktext, type } = layout[key] || {};
      if (key === "yaxis" && axis.type === "category") continue;
      if (tickvals && tickvals.length > 6) {
        const each = Math.ceil(tickvals.length / 5);
        const first = Math.max(tickvals.indexOf(1), 0) % each; // no change keeps its tick
        const kept = (values) => values.filter((_, at) => at % each === first);
        layout[key] = { ...layout[key], tickvals: kept(tickvals), ...(ticktext ? { ticktext: kept(ticktext) } : {}) };
      } else if (!tickvals && type !== "category" && type !== "multicategory") layout[key] = { ...layout[key], nticks: wide < 400 ? 5 : 9 };
    }
  }

  // A long name in two lines, broken after a slash, each cut in its middle; one with an entity stays whole.
  function folded(name) {
    if (name.length <= 16 || name.includes("&")) return name;
    const parts = name.split("/");
    const first = parts.length > 2 ? parts[0] : parts.slice(0, -1).join("/");
    const rest = parts.slice(parts.length > 2 ? 1 : -1).join("/");
    const cut = (text) => (text.length <= 20 ? text : text.slice(0, 10) + "…" + text.slice(-9));
    return first ? cut(first) + "/<br>" + cut(rest) : cut(name);
  }

  // Samples reach as far as the bulk of those that are seen: an outlier flattens nothing.
  function reach(traces) {
    const ends = [];
    for (const trace of traces) {
      if (trace.error_x) trace.x.forEach((middle, place) => ends.push(middle - trace.error_x.arrayminus[place], middle + trace.error_x.array[place]));
      else if (trace.mode === "lines") ends.push(trace.x[0], trace.x[Math.min(Math.floor(trace.x.length * 0.95), trace.x.length - 1)]);
    }
    const seen = ends.filter((end) => end > 0);
    if (!seen.length) return {};
    const low = Math.log10(Math.min(...seen));
    const span = Math.max(Math.log10(Math.max(...seen)) - low, 0.01);
    return { range: [low - 0.05 * span, low + span * 1.05] };
  }

  // An image stands on white or dark paper, as the page does: transparent, its text would vanish on a slide.
  function save(box, format) {
    const { plot } = drawn.get(box);
    const heading = document.querySelector("h1");
    const name = [heading ? heading.textContent : "", box.dataset.chart].join("-").replace(/[^\p{L}\p{N}_.]+/gu, "-").replace(/^-|-$/g, "");
    const layout = { ...plot.layout, paper_bgcolor: style("--card"), plot_bgcolor: style("--card") };
    return Plotly.downloadImage({ data: plot.data, layout }, { format, filename: name.slice(0, 120), width: plot.clientWidth, height: plot.clientHeight, scale: format === "png" ? 2 : 1 });
  }

  // Buttons of the page's own: those that plotly.js draws are out of a keyboard's reach.
  function tools(box) {
    if (box.querySelector(".chart-tools")) return;
    const buttons = ["PNG", "SVG"].map((format) => harness.element("button", { type: "button", class: "quiet", "data-save": format.toLowerCase(), "aria-label": "Save the chart as " + format }, format));
    box.querySelector(".plot").after(harness.element("div", { class: "chart-tools" }, ...buttons));
  }

  let printing = false;

  // On paper (A4) a chart is as wide as its place there, whatever the window's width.
  const width = (box) => (!printing ? box.querySelector(".plot").clientWidth : box.closest(".grid") && !box.matches(".wide") ? 320 : 670);

  function draw(box) {
    const { plot, figure } = drawn.get(box);
    const wide = width(box);
    const named = new Set();
    const traces = figure.data.map((trace) => filtered(trace, (figure.layout.meta || {}).ignore)).filter(Boolean).map((trace) => {
      const group = trace.meta && trace.meta.legend;
      if (group === undefined) return trace;
      const first = !named.has(group);
      named.add(group);
      return { ...trace, showlegend: first };
    });
    const layout = themed(figure.layout, wide);
    if (printing) Object.assign(layout, { width: wide, autosize: false });
    fit(traces, wide);
    // Budgets are lines of the rows that have them.
    const meant = figure.layout.meta && figure.layout.meta.lines;
    if (meant) {
      const seen = meant.map((rows) => rows.some((at) => harness.filters.row(at)));
      for (const key of ["shapes", "annotations"]) layout[key] = layout[key].filter((_, place) => seen[place]);
    }
    const per = figure.layout.meta && figure.layout.meta.perLine;
    if (per) layout.height = 110 + per * Math.max(lines(traces), 2);
    plot.style.minHeight = layout.height + "px";
    if (figure.layout.meta && figure.layout.meta.reach) layout.xaxis = { ...layout.xaxis, ...reach(traces) };
    if (wide < 860) brief(traces);
    if (wide < 560) narrow(traces, layout, wide);
    const empty = !traces.length;
    plot.classList.toggle("empty", empty);
    if (empty) layout.shapes = [];
    if (empty) layout.annotations = [{ text: "nothing to show with these filters", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }];
    return Plotly.react(plot, traces, layout, {
      responsive: !printing, displaylogo: false, displayModeBar: coarse ? false : "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"],
    }).then(() => { box.dataset.drawn = String(Number(box.dataset.drawn || 0) + 1); });
  }

  function show(box, figure) {
    const plot = box.querySelector(".plot");
    plot.hidden = false;
    drawn.set(box, { plot, figure });
    tools(box);
    return draw(box);
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      show(entry.target, JSON.parse(entry.target.querySelector("script.figure").textContent));
    }
  }, { rootMargin: "300px" });

  function find(root) {
    for (const box of root.querySelectorAll("[data-chart]")) {
      const script = box.querySelector("script.figure");
      if (script) {
        const height = JSON.parse(script.textContent).layout.height;
        box.querySelector(".plot").style.minHeight = height + "px"; // nothing jumps when it is drawn
        seen.observe(box);
      }
    }
  }

  document.addEventListener("click", (event) => {
    if (event.target.matches("button[data-save]")) save(event.target.closest("[data-chart]"), event.target.dataset.save);
  });
  document.addEventListener("click", async (event) => {
    const box = event.target.matches("button.ask") && event.target.closest("[data-source]");
    if (!box) return;
    const key = box.dataset.source.replace(/^.*\/|\.js$/g, "");
    event.target.disabled = true;
    try {
      const figures = await harness.load("raw", key, box.dataset.source);
      event.target.remove();
      await show(box, figures[box.dataset.chart]);
    } catch (error) {
      event.target.disabled = false;
      event.target.textContent = error.message;
    }
  });
  const redraw = () => { for (const box of drawn.keys()) if (box.isConnected) draw(box); else drawn.delete(box); };
  // Everything that the page holds is drawn before it is printed, on white paper.
  let theme = "";
  addEventListener("beforeprint", () => {
    printing = true;
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    for (const box of document.querySelectorAll("[data-chart]")) {
      const script = box.querySelector("script.figure");
      const held = box.dataset.source && harness.received["raw/" + box.dataset.source.replace(/^.*\/|\.js$/g, "")];
      if (drawn.has(box)) draw(box);
      else if (script) show(box, JSON.parse(script.textContent));
      else if (held) { box.querySelectorAll("button.ask").forEach((button) => button.remove()); show(box, held[box.dataset.chart]); }
    }
  });
  addEventListener("afterprint", () => {
    printing = false;
    document.documentElement.dataset.theme = theme;
    redraw();
  });
  // What is drawn on demand is fetched when the page has nothing else to do, so that it is there for the printer.
  addEventListener("load", () => (window.requestIdleCallback || setTimeout)(() => {
    for (const box of document.querySelectorAll("[data-source]")) harness.load("raw", box.dataset.source.replace(/^.*\/|\.js$/g, ""), box.dataset.source).catch(() => {});
  }));
  document.addEventListener("harness:theme", redraw);
  document.addEventListener("harness:filter", redraw);
  find(document);
  harness.filters.apply();

  return { show, filtered, find };
})();
