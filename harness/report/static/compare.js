// The comparison: two sides are chosen, their pair comes on demand. What it says was computed and escaped in Python.
"use strict";
addEventListener("DOMContentLoaded", () => {
  if (!document.getElementById("compare-form")) return;
  const [before, after, body, said] = ["before", "after", "pair-body", "compare-said"].map((id) => document.getElementById(id));
  const { pairs, command } = JSON.parse(document.getElementById("compare-made").textContent);
  const made = new Set(pairs);
  const live = harness.site.live && location.protocol.startsWith("http");
  const root = document.body.dataset.root;
  after.append(...[...before.children].map((group) => group.cloneNode(true)));
  const chosen = (select) => select.selectedOptions[0].dataset;

  // The address names both sides, so that a link can be sent; a name that is not listed here is said.
  function read() {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const select of [before, after]) {
      const name = asked.get(select.id);
      if (name === null) continue;
      const option = [...select.options].find((one) => one.dataset.name === name);
      if (!option) return `Nothing here is called "${name}": choose from the lists.`;
      select.value = option.value;
    }
    return "";
  }

  async function show() {
    const id = before.value + "-" + after.value;
    if (before.value === after.value) {
      said.textContent = "Both sides are the same: choose two.";
    } else if (!made.has(id) && !live) {
      const typed = `${command} --compare ${chosen(before).typed} ${chosen(after).typed}`;
      said.replaceChildren("This pair was not made ahead. Make it with ", harness.element("code", {}, typed), " or choose freely in ", harness.element("code", {}, "harness serve"), ".");
    } else {
      said.textContent = "Comparing ...";
      let found;
      try {
        found = await harness.load("pairs", id, root + "data/compare/" + id + ".js");
      } catch (error) {
        found = { problem: error.message };
      }
      if (id !== before.value + "-" + after.value) return; // another choice was made meanwhile
      said.textContent = found.problem || "";
      body.innerHTML = found.html || "";
      harness.charts.find(body);
      return;
    }
    body.replaceChildren();
  }

  function choose() {
    history.replaceState(null, "", "#" + new URLSearchParams({ before: chosen(before).name, after: chosen(after).name }));
    show();
  }

  function open() {
    const problem = read();
    if (!problem) return show();
    said.textContent = problem;
    body.replaceChildren();
  }

  before.addEventListener("change", choose);
  after.addEventListener("change", choose);
  document.getElementById("swap").addEventListener("click", () => {
    [before.value, after.value] = [after.value, before.value];
    choose();
  });
  addEventListener("hashchange", open);
  [before.value, after.value] = pairs[0].split("-");
  open();
});
