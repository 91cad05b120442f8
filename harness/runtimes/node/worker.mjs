// The measured process in Node: opens an artifact in onnxruntime-node, times it, and decides nothing.
//
//   node --expose-gc worker.mjs FOLDER
//
// FOLDER has the node_modules that onnxruntime-node lies in.

import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { described, halves, rotation, specs, writeOutputs } from "../javascript/examples.mjs";
import { load as loaded } from "../javascript/load.mjs";
import { serve } from "../javascript/serve.mjs";
import { nested } from "../javascript/session_config.mjs";
import { Refused } from "../javascript/values.mjs";

const required = createRequire(path.join(path.resolve(process.argv[2]), "worker.cjs"));
const { version } = required("onnxruntime-node/package.json");
let ort; // loaded for the hello, which says why where it cannot be
let available = [];

const PROVIDERS = {
  cpu: "CPUExecutionProvider",
  cuda: "CUDAExecutionProvider",
  tensorrt: "TensorrtExecutionProvider",
  dml: "DmlExecutionProvider",
  webgpu: "WebGpuExecutionProvider",
  coreml: "CoreMLExecutionProvider",
};
const NOTE = "timed with session.run() of onnxruntime-node, the copies of inputs and outputs included";
const SHARED = "onnxruntime-node runs a model on Node's own thread: of several requests at a time one is served after the other";

const state = { session: null, inputs: [], outputs: [], feeds: [], next: 0, references: new Map(), profile: "" };

const tensor = ({ type, dims, data }) => new ort.Tensor(type, data, dims);

const tensors = (feed) => Object.fromEntries(Object.entries(feed).map(([name, value]) => [name, tensor(value)]));

function sessionOptions(request) {
  const asked = request.options ?? {};
  const short = Object.keys(PROVIDERS).find((name) => PROVIDERS[name] === asked.provider) ?? asked.provider;
  if (!available.includes(asked.provider)) {
    throw new Refused("provider", `this onnxruntime-node has no ${asked.provider}; it has ${available.join(", ")}`);
  }
  const config = { ...(asked.config ?? {}) };
  const parallel = config["session.execution_mode"] === "1";
  delete config["session.execution_mode"];
  const providers = [{ name: short, ...(asked.provider_options ?? {}) }];
  if (short !== "cpu" && config["session.disable_cpu_ep_fallback"] !== "1") providers.push({ name: "cpu" });
  return {
    executionProviders: providers,
    graphOptimizationLevel: asked.optimization,
    intraOpNumThreads: request.threads.intra,
    interOpNumThreads: request.threads.inter,
    executionMode: parallel ? "parallel" : "sequential",
    logSeverityLevel: 3,
    freeDimensionOverrides: asked.dims ?? {},
    extra: nested(config),
    ...(request.profile ? { enableProfiling: true, profileFilePrefix: state.profile } : {}),
  };
}

async function open(request) {
  await state.session?.release();
  state.session = null;
  state.profile = path.join(os.tmpdir(), `harness-profile-${process.pid}`);
  const options = sessionOptions(request);
  const start = process.hrtime.bigint();
  const session = await ort.InferenceSession.create(request.artifact.path, options);
  const sessionNs = Number(process.hrtime.bigint() - start);
  const [inputs, outputs] = [specs(session.inputMetadata), specs(session.outputMetadata)];
  Object.assign(state, { session, inputs, outputs, next: 0 });
  state.feeds = rotation(request, inputs).map(tensors);
  return {
    session_ns: sessionNs,
    inputs: described(inputs),
    outputs: described(outputs),
    runtime: { providers: options.executionProviders.map(({ name }) => PROVIDERS[name]), placement: {} },
    notes: (request.streams ?? 1) > 1 ? [NOTE, SHARED] : [NOTE],
    examples: state.feeds.length,
  };
}

/** n runs one by one, each from the call to the answer, on one feed after the other. */
async function timed(session, feeds, n, first) {
  const clock = process.hrtime.bigint;
  const durations = new Array(n).fill(0);
  globalThis.gc?.(); // a collection inside a timed run would be charged to the model
  for (let i = 0; i < n; i++) {
    const feed = feeds[(first + i) % feeds.length];
    const start = clock();
    await session.run(feed);
    durations[i] = Number(clock() - start);
  }
  return durations;
}

async function burst(request) {
  const first = request.at ?? state.next;
  const before = process.resourceUsage().involuntaryContextSwitches;
  const durations = await timed(state.session, state.feeds, request.n, first);
  state.next = first + request.n;
  return { durations_ns: durations, preempted: process.resourceUsage().involuntaryContextSwitches - before };
}

/** Feeds are read only and outputs allocated anew, so that streams share them. */
async function load(request) {
  const { session, feeds } = state;
  globalThis.gc?.(); // as before a burst
  const before = process.resourceUsage().involuntaryContextSwitches;
  const reply = await loaded(request, (_, number) => session.run(feeds[number % feeds.length]));
  return { ...reply, preempted: process.resourceUsage().involuntaryContextSwitches - before };
}

async function reference(request) {
  const found = [];
  for (const asked of request.models) {
    if (!state.references.has(asked.path)) {
      const options = { executionProviders: ["cpu"], intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 };
      const session = await ort.InferenceSession.create(asked.path, options);
      const feed = { x: tensor(halves(asked.shape)) };
      await session.run(feed);
      state.references.set(asked.path, [session, feed]);
    }
    const [session, feed] = state.references.get(asked.path);
    found.push(await timed(session, [feed], asked.n, 0));
  }
  return { durations_ns: found };
}

async function outputs(request) {
  return writeOutputs(request, state.inputs, state.outputs, async (feed) => {
    const found = await state.session.run(tensors(feed));
    return state.outputs.map(({ name }) => found[name]);
  });
}

/** The file that onnxruntime wrote: whoever asked reads it and removes it. */
async function profile() {
  state.session.endProfiling();
  const prefix = path.basename(state.profile);
  const folder = path.dirname(state.profile);
  const files = fs.readdirSync(folder).filter((name) => name.startsWith(`${prefix}_`)).sort();
  if (!files.length) throw new Refused("runtime", "onnxruntime-node wrote no profile");
  return { file: path.join(folder, files.at(-1)) };
}

function hello() {
  ort = required("onnxruntime-node");
  available = ort.listSupportedBackends().map(({ name }) => PROVIDERS[name] ?? name);
  return {
    runtime: {
      name: "onnxruntime-node",
      version,
      build: `Node ${process.versions.node}, onnxruntime ${ort.env?.versions?.node ?? version}`,
      language: "javascript",
      providers: available,
    },
    features: ["rotate", "reference", "load"],
    lacks: { placement: "onnxruntime-node does not tell which provider took which node" },
  };
}

await serve(hello, { open, burst, load, reference, outputs, profile });
process.exit(0); // tearing a session down takes as long as it likes, and nobody measures it
