// Served by `harness serve`, a page looks for news, reloads itself when there are some, and says when a build failed.
"use strict";
if (harness.site.live && location.protocol.startsWith("http")) {
  const bar = harness.element("div", { class: "stale", role: "status" });
  bar.hidden = true;
  document.querySelector("header.top").after(bar);
  setInterval(async () => {
    try {
      const answer = await fetch("/-/version", { cache: "no-store" });
      if (!answer.ok) return;
      const [version, ...error] = (await answer.text()).split("\n");
      if (version !== harness.site.version) location.reload();
      bar.textContent = error.join(" ").trim() && "Results have changed, but this page could not be made anew: " + error.join(" ");
      bar.hidden = !bar.textContent;
    } catch { /* the server has stopped: the page stays as it is */ }
  }, 1500);
}
