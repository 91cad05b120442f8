// Serves this folder on this host, with the two headers that a page needs to have threads.
//
//   npm install && node serve.mjs                      then open the address in a browser
//   node serve.mjs --check [CHROMIUM]                  in a browser without a window; exit code 0: as expected, 1: not, 2: it does not run

import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const DIST = path.join(HERE, "node_modules", "onnxruntime-web", "dist");
const KINDS = {
  ".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json",
};
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const DEADLINE_MS = 120_000;

const checks = process.argv[2] === "--check";
let heard = () => {};

/** The file of an address, below this folder; null where there is none. */
function found(address) {
  const [base, name] = address.startsWith("/dist/") ? [DIST, address.slice("/dist".length)] : [HERE, address];
  const file = path.join(base, name === "/" ? "/index.html" : name);
  return file.startsWith(base + path.sep) && fs.existsSync(file) && fs.statSync(file).isFile() ? file : null;
}

const server = http.createServer((request, response) => {
  let address;
  try {
    address = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
  } catch {
    response.writeHead(400).end();
    return;
  }
  if (request.method === "POST") {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      response.writeHead(204, ISOLATED).end();
      if (address === "/said") heard(JSON.parse(Buffer.concat(parts).toString()));
    });
    return;
  }
  const file = found(address);
  if (!file) {
    response.writeHead(404, ISOLATED).end();
    return;
  }
  response.writeHead(200, { "Content-Type": KINDS[path.extname(file)] ?? "application/octet-stream", ...ISOLATED });
  fs.createReadStream(file).pipe(response);
});

server.listen(checks ? 0 : Number(process.env.PORT || 8000), "127.0.0.1", () => {
  const address = `http://127.0.0.1:${server.address().port}/`;
  if (!checks) {
    console.log(address);
    return;
  }
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "check-"));
  const options = [
    "--headless=new", `--user-data-dir=${profile}`, "--no-first-run", "--disable-extensions", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
    address,
  ];
  const browser = spawn(process.argv[3] || "chromium", options, { stdio: "ignore" });
  const leave = (code, lines) => {
    console.log(lines.join("\n"));
    browser.once("exit", () => process.exit(code));
    browser.kill();
    setTimeout(() => process.exit(code), 5_000);
  };
  process.on("exit", () => fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
  browser.on("error", (error) => leave(2, [`the browser could not be started: ${error.message}`]));
  setTimeout(() => leave(2, [`the page said nothing within ${DEADLINE_MS / 1000} s`]), DEADLINE_MS);
  heard = ({ code, lines }) => leave(code, lines);
});
