// The measured page: opens a model in onnxruntime-web, times it, and decides nothing.

import { nested } from "../javascript/session_config.mjs";

const TICKS = 200; // what is timed in one go lasts at least so many ticks of the timer
const TYPES = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array, bool: Uint8Array, int8: Int8Array, int16: Int16Array,
  int32: Int32Array, int64: BigInt64Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array,
  uint64: BigUint64Array,
};

let ort;
let session;
let feeds = [];
let next = 0;
let typicalMs = 0;
const references = new Map();
const tickMs = tick();

/** The smallest step of the page's timer, in milliseconds. */
function tick() {
  let least = Infinity;
  for (let i = 0; i < 200; i++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    least = Math.min(least, now - start);
  }
  return least;
}

const refused = (kind, message) => ({ refused: [kind, message] });

function about() {
  const [agent] = /(?:Headless)?Chrom\w*\/[\d.]+/.exec(navigator.userAgent) ?? [navigator.userAgent];
  return { agent, timerUs: Math.round(tickMs * 1e4) / 10, isolated: globalThis.crossOriginIsolated };
}

/** Why the page cannot use WebGPU for a measurement; empty where it can. */
async function withoutGpu() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return "this browser has no WebGPU adapter here";
  const { vendor = "", architecture = "", description = "" } = adapter.info ?? {};
  const name = [vendor, architecture, description].filter(Boolean).join(" ");
  if (adapter.isFallbackAdapter || adapter.info?.isFallbackAdapter || /swiftshader|llvmpipe/i.test(name)) {
    return `the only WebGPU adapter here is software (${name}), whose speed says nothing about a GPU`;
  }
  return "";
}

async function open(request) {
  const { provider, optimization, config, dims } = request.options;
  const gpu = provider === "WebGpuExecutionProvider";
  if (!gpu && provider !== "CPUExecutionProvider") {
    return refused("provider", `onnxruntime-web has no ${provider}; it has CPUExecutionProvider, WebGpuExecutionProvider`);
  }
  const why = gpu ? await withoutGpu() : "";
  if (why) return refused("provider", why);
  if (request.profile) return refused("runtime", "onnxruntime-web gives a page no profile");
  const threads = request.threads.intra;
  if (threads !== 1 && !(globalThis.crossOriginIsolated && globalThis.SharedArrayBuffer)) {
    return refused("provider", `${threads} threads of WASM need a page that is cross-origin isolated, and this one is not`);
  }
  if (request.threads.inter > 1) return refused("provider", "onnxruntime-web runs one operator at a time");
  ort = await import(gpu ? "/dist/ort.webgpu.min.mjs" : "/dist/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = "/dist/";
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const options = {
    executionProviders: [gpu ? "webgpu" : "wasm"],
    graphOptimizationLevel: optimization,
    freeDimensionOverrides: dims ?? {},
    extra: nested(config ?? {}),
    logSeverityLevel: 3,
    ...(request.external.length ? { externalData: request.external.map((path) => ({ path, data: `/external/${path}` })) } : {}),
  };
  const start = performance.now();
  session = await ort.InferenceSession.create("/model.onnx", options);
  const sessionNs = Math.round((performance.now() - start) * 1e6);
  if (threads && ort.env.wasm.numThreads !== threads) {
    return refused("provider", `this WASM build runs ${ort.env.wasm.numThreads} of the ${threads} threads`);
  }
  const { timerUs } = about();
  const notes = [
    `timed in the page with session.run() of onnxruntime-web, the copies of inputs and outputs included; its timer ticks ` +
      `in ${timerUs} us, so where a run is shorter than ${TICKS} ticks several are timed in one go, and each has their mean`,
    "session creation in the page includes fetching the model from this host",
  ];
  return { sessionNs, inputs: plain(session.inputMetadata), outputs: plain(session.outputMetadata), notes };
}

const plain = (metadata) => metadata.map(({ name, isTensor, type, shape }) => ({ name, isTensor, type, shape }));

/** Values that the worker offers -> tensors by their names. */
async function fetched(offered) {
  const found = {};
  for (const [name, type, dims, address] of offered) {
    const answer = await fetch(address, { cache: "no-store" });
    const data = type === "string" ? await answer.json() : new TYPES[type](await answer.arrayBuffer());
    found[name] = new ort.Tensor(type, data, dims);
  }
  return found;
}

async function bind(offered) {
  feeds = [];
  next = 0;
  typicalMs = 0;
  for (const one of offered) feeds.push(await fetched(one));
}

/** n runs, several in one go where one is short for the timer; nanoseconds of each. */
async function timed(running, given, n, first, typical) {
  const durations = [];
  const together = Math.max(1, Math.ceil((TICKS * tickMs) / Math.max(typical || 0, tickMs)));
  let done = 0;
  while (done < n) {
    const size = n === 1 ? 1 : Math.min(together, n - done);
    const start = performance.now();
    for (let i = 0; i < size; i++) await running.run(given[(first + done + i) % given.length]);
    const each = Math.round(((performance.now() - start) * 1e6) / size);
    for (let i = 0; i < size; i++) durations.push(each);
    done += size;
  }
  return durations;
}

/** Of nanoseconds, in milliseconds: not the mean, which one long pause would make useless. */
const median = (durations) => durations.toSorted((a, b) => a - b)[durations.length >> 1] / 1e6;

async function burst(n, at) {
  const first = at ?? next;
  const durations = await timed(session, feeds, n, first, typicalMs);
  next = first + n;
  typicalMs = median(durations);
  return { durations_ns: durations, preempted: null };
}

async function reference(models) {
  if (ort.env.wasm.numThreads !== 1) {
    return refused("runtime", "a page has one number of threads for all that it runs, and the reference workload takes one");
  }
  const found = [];
  for (const { url, n, feed } of models) {
    if (!references.has(url)) {
      const running = await ort.InferenceSession.create(url, { executionProviders: ["wasm"], logSeverityLevel: 3 });
      const given = await fetched(feed);
      await running.run(given);
      references.set(url, [running, given, median(await timed(running, [given], 10, 0, 0))]);
    }
    const [running, given, typical] = references.get(url);
    found.push(await timed(running, [given], n, 0, typical));
  }
  return found;
}

/** One run: the outputs are sent to the worker, and where they are is answered, in the model's order. */
async function compute(offered) {
  const found = await session.run(await fetched(offered));
  const places = [];
  for (const [index, name] of session.outputNames.entries()) {
    const { type, dims, data } = found[name];
    const text = type === "string";
    if (!text && !(type in TYPES)) return refused("not_implemented", `output '${name}' is ${type}, which this worker cannot pass`);
    const address = `/output/${index}`;
    await fetch(address, { method: "POST", body: text ? JSON.stringify(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice() });
    places.push([type, [...dims], address]);
  }
  return places;
}

globalThis.harness = { about, open, bind, burst, reference, compute };
