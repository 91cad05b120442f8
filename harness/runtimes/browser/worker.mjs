// The worker of a browser: it starts Chromium, serves a page to it, and passes requests on. The page times.
//
//   node worker.mjs FOLDER CHROMIUM PROFILE
//
// FOLDER has the node_modules that onnxruntime-web lies in, PROFILE is how the names of the browser's folders begin.
// Chromium is driven over a pipe (--remote-debugging-pipe), which needs no package and no port.

import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { described, halves, rotation, specs, writeOutputs } from "../javascript/examples.mjs";
import { serve } from "../javascript/serve.mjs";
import { count, Refused, TYPES } from "../javascript/values.mjs";

const [folder, chromium, prefix] = process.argv.slice(2);
const PACKAGE = path.join(path.resolve(folder), "node_modules", "onnxruntime-web");
const HERE = path.dirname(fileURLToPath(import.meta.url));
const { version } = JSON.parse(fs.readFileSync(path.join(PACKAGE, "package.json"), "utf8"));
const START_MS = 60_000;
const END_MS = 5_000;
const KINDS = { ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };
// Without these two a page has no threads, and a timer that ticks in 100 us instead of 5.
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

const files = new Map(); // what the page may read beside the package: address -> path or bytes
const posted = new Map(); // what the page has sent: address -> bytes

function answer(request, response) {
  const address = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
  if (request.method === "POST") {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      posted.set(address, new Uint8Array(Buffer.concat(parts)));
      response.writeHead(204).end();
    });
    return;
  }
  let found = files.get(address);
  if (found === undefined && address.startsWith("/dist/")) found = path.join(PACKAGE, "dist", path.basename(address));
  if (found === undefined && ["/page.html", "/page.mjs"].includes(address)) found = path.join(HERE, address);
  if (found === undefined && address === "/javascript/session_config.mjs") found = path.join(HERE, "..", address);
  if (found === undefined || (typeof found === "string" && !fs.existsSync(found))) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "Content-Type": KINDS[path.extname(address)] ?? "application/octet-stream", ...ISOLATED });
  if (typeof found === "string") fs.createReadStream(found).pipe(response);
  else response.end(found);
}

/** Chromium over its pipe: messages of the DevTools protocol, each ended by a zero byte. */
class Browser {
  constructor() {
    this.profile = fs.mkdtempSync(path.join(os.tmpdir(), prefix));
    const options = [
      "--headless=new", "--remote-debugging-pipe", `--user-data-dir=${this.profile}`, "--no-first-run", "--disable-extensions",
      "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-gpu-sandbox",
      "--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-dev-shm-usage",
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), // as root Chromium runs in no other way
      "about:blank",
    ];
    this.child = spawn(chromium, options, { stdio: ["ignore", "ignore", "inherit", "pipe", "pipe"] });
    this.pending = new Map();
    this.number = 0;
    this.rest = Buffer.alloc(0);
    this.child.on("error", (error) => this.gone(`${chromium} could not be started: ${error.message}`));
    this.child.on("exit", (code, signal) => this.gone(`the browser ended (${signal ?? `exit code ${code}`})`));
    this.child.stdio[3].on("error", () => {});
    this.child.stdio[4].on("data", (part) => this.heard(part));
  }

  heard(part) {
    this.rest = Buffer.concat([this.rest, part]);
    for (let end = this.rest.indexOf(0); end >= 0; end = this.rest.indexOf(0)) {
      const message = JSON.parse(this.rest.subarray(0, end).toString());
      this.rest = this.rest.subarray(end + 1);
      if (message.method === "Inspector.targetCrashed") this.gone("the page crashed");
      const waiting = this.pending.get(message.id);
      if (!waiting) continue;
      this.pending.delete(message.id);
      if (message.error) waiting.reject(new Error(message.error.message));
      else waiting.resolve(message.result);
    }
  }

  gone(why) {
    this.why ??= why;
    for (const { reject } of this.pending.values()) reject(new Error(this.why));
    this.pending.clear();
  }

  send(method, params = {}, sessionId = this.session) {
    if (this.why) return Promise.reject(new Error(this.why));
    const id = ++this.number;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  /** A fresh page: the number of threads is fixed for a page's life. */
  async page(url) {
    if (this.target) await this.send("Target.closeTarget", { targetId: this.target }, undefined);
    this.session = undefined;
    const { targetId } = await this.send("Target.createTarget", { url }, undefined);
    this.target = targetId;
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true }, undefined);
    this.session = sessionId;
    await this.send("Inspector.enable");
    await this.send("Runtime.enable");
    const until = Date.now() + START_MS;
    // While the page is on its way there, the browser may have nothing to evaluate in.
    while (!(await this.value("globalThis.harness !== undefined").catch(() => false))) {
      if (this.why) throw new Error(this.why);
      if (Date.now() > until) throw new Error(`${url} was not loaded within ${START_MS / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async value(expression) {
    const found = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (found.exceptionDetails) {
      const { text, exception } = found.exceptionDetails;
      throw new Error(exception?.description?.split("\n")[0] ?? exception?.value ?? text);
    }
    return found.result.value;
  }

  /** What a function of the page answers; its own refusals come as {refused: [kind, message]}. */
  async ask(name, ...given) {
    const found = await this.value(`harness.${name}(${given.map((one) => JSON.stringify(one)).join(", ")})`);
    if (found?.refused) throw new Refused(...found.refused);
    return found;
  }

  /** Ended by its own means while it can, so that no process of it writes into the folder that is removed. */
  async end() {
    const gone = new Promise((resolve) => this.child.once("exit", resolve));
    if (!this.why) {
      this.send("Browser.close", {}, undefined).catch(() => {});
      await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, END_MS))]);
    }
    this.child.kill("SIGKILL");
    // A helper of the browser may outlive it for a moment, and write.
    for (let attempt = 0; attempt < 20 && fs.existsSync(this.profile); attempt++) {
      fs.rmSync(this.profile, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const server = http.createServer(answer);
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}/page.html`;
const browser = new Browser();

const state = { inputs: [], outputs: [], references: new Set() };

/** Values as the page fetches them: name -> [type, dims, address]. */
function offered(feed, where) {
  return Object.entries(feed).map(([name, { type, dims, data }], index) => {
    const address = `/value/${where}/${index}`;
    files.set(address, type === "string" ? Buffer.from(JSON.stringify(data)) : Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    return [name, type, dims, address];
  });
}

async function open(request) {
  await browser.page(url);
  state.references.clear();
  files.clear();
  files.set("/model.onnx", request.artifact.path);
  // Weights that lie beside the file are named in it by their paths.
  const beside = path.dirname(request.artifact.path);
  const external = fs.readdirSync(beside).filter((name) => name.endsWith(".data"));
  for (const name of external) files.set(`/external/${name}`, path.join(beside, name));
  const opened = await browser.ask("open", { ...request, artifact: undefined, feeds: undefined, external });
  const inputs = specs(opened.inputs);
  const outputs = specs(opened.outputs);
  Object.assign(state, { inputs, outputs });
  const feeds = rotation(request, inputs).map((feed, number) => offered(feed, `feed-${number}`));
  await browser.ask("bind", feeds);
  feeds.flat().forEach(([, , , address]) => files.delete(address));
  return {
    session_ns: opened.sessionNs,
    inputs: described(inputs),
    outputs: described(outputs),
    runtime: { providers: [request.options.provider], placement: {} },
    notes: opened.notes,
    examples: feeds.length,
  };
}

const burst = ({ n, at }) => browser.ask("burst", n, at ?? null);

async function reference(request) {
  const models = request.models.map((asked, index) => {
    files.set(`/reference/${index}.onnx`, asked.path);
    const feed = state.references.has(asked.path) ? null : offered({ x: halves(asked.shape) }, `reference-${index}`);
    state.references.add(asked.path);
    return { url: `/reference/${index}.onnx`, n: asked.n, feed };
  });
  return { durations_ns: await browser.ask("reference", models) };
}

/** The words of an output, which the page sends as JSON. */
function words(bytes, total) {
  const found = JSON.parse(Buffer.from(bytes ?? []).toString() || "[]");
  if (!Array.isArray(found) || found.length !== total) throw new Error("the page sent an output cut short");
  return found.map(String);
}

async function outputs(request) {
  return writeOutputs(request, state.inputs, state.outputs, async (feed) => {
    posted.clear();
    const found = await browser.ask("compute", offered(feed, "once"));
    return found.map(([type, dims, address]) => {
      if (type === "string") return { type, dims, data: words(posted.get(address), count(dims)) };
      const [Holder] = TYPES[type] ?? [];
      if (!Holder) throw new Refused("not_implemented", `an output is ${type}, which this worker cannot pass`);
      const bytes = posted.get(address) ?? new Uint8Array(0);
      if (bytes.byteLength !== count(dims) * Holder.BYTES_PER_ELEMENT) throw new Error("the page sent an output cut short");
      return { type, dims, data: new Holder(bytes.slice().buffer) };
    });
  });
}

async function hello() {
  await browser.page(url);
  const known = await browser.ask("about");
  return {
    runtime: {
      name: "onnxruntime-web",
      version,
      build: `${known.agent}, timer ${known.timerUs} us, ${known.isolated ? "" : "not "}cross-origin isolated`,
      language: "javascript",
      providers: ["CPUExecutionProvider", "WebGpuExecutionProvider"],
    },
    features: ["rotate", "reference"],
    lacks: {
      load: "a page has one thread that asks, so that requests at a time would take turns, and its clock is coarse",
      profile: "onnxruntime-web gives a page no profile",
      placement: "onnxruntime-web does not tell which provider took which node",
      memory: "the memory of a page is spread over the browser's processes, and not measured",
    },
  };
}

await serve(hello, { open, burst, reference, outputs });
await browser.end();
process.exit(0);
