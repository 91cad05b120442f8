// Opens the model in this page as it was measured, feeds the samples, and shows what comes out.

import { check, sessionOptions } from "./check.mjs";

const read = async (name) => {
  const answer = await fetch(`/${name.split("/").map(encodeURIComponent).join("/")}`);
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
};

const PROVIDERS = { CPUExecutionProvider: "wasm", WebGpuExecutionProvider: "webgpu" };
const lines = [];

function say(line) {
  lines.push(line);
  document.getElementById("said").textContent = lines.join("\n");
}

async function main() {
  const asked = JSON.parse(new TextDecoder().decode(await read("session.json")));
  if (!(asked.provider in PROVIDERS)) {
    say(`a browser has no ${asked.provider}; it has ${Object.keys(PROVIDERS).join(", ")}`);
    return 2;
  }
  const gpu = asked.provider === "WebGpuExecutionProvider";
  const ort = await import(gpu ? "/dist/ort.webgpu.min.mjs" : "/dist/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = "/dist/";
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? asked.intra_threads ?? 0 : 1;
  if (!globalThis.crossOriginIsolated) say("this page is not cross-origin isolated: one thread, see serve.mjs");
  const options = sessionOptions(asked, (name) => PROVIDERS[name]);
  if (asked.external.length) options.externalData = asked.external.map((path) => ({ path, data: `/${path}` }));
  const session = await ort.InferenceSession.create(`/${asked.model}`, options);
  return (await check(ort, session, asked, read, say)) ? 1 : 0;
}

const code = await main().catch((error) => {
  say(`it does not run here: ${error.message}`);
  return 2;
});
say(["as expected", "not as expected", "it does not run here"][code]);
await fetch("/said", { method: "POST", body: JSON.stringify({ code, lines }) });
