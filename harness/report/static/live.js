// Served by `harness serve`, a page looks for news and reloads itself when there are some.
"use strict";
if (harness.site.live && location.protocol.startsWith("http")) {
  let known = null;
  setInterval(async () => {
    try {
      const now = await (await fetch("/-/version", { cache: "no-store" })).text();
      if (known !== null && now !== known) location.reload();
      known = now;
    } catch { /* the server has stopped: the page stays as it is */ }
  }, 1500);
}
