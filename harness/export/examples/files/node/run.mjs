// Opens the model beside it as it was measured, feeds the samples, and checks what comes out.
//
//   npm install && node run.mjs     exit code 0: as expected, 1: not, 2: it does not run here
//
// The files beside it are Apache-2.0, from onnx-harness.

import fs from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import ort from "onnxruntime-node";
import { check, sessionOptions } from "./check.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const PROVIDERS = {
  CPUExecutionProvider: "cpu", CUDAExecutionProvider: "cuda", TensorrtExecutionProvider: "tensorrt", DmlExecutionProvider: "dml",
  WebGpuExecutionProvider: "webgpu", CoreMLExecutionProvider: "coreml",
};

const read = (name) => fs.readFile(path.join(HERE, name));

async function main() {
  const asked = JSON.parse(await read("session.json"));
  const measured = asked.measured_by.version;
  const own = ort.env.versions.node;
  if (measured && measured !== own) console.log(`measured with ${measured}, this is ${own}: times and outputs may differ`);
  const short = (name) => PROVIDERS[name] ?? name;
  const has = ort.listSupportedBackends().map(({ name }) => name);
  if (!has.includes(short(asked.provider))) {
    console.log(`this onnxruntime-node has no ${asked.provider}; it has ${has.join(", ")}`);
    return 2;
  }
  const session = await ort.InferenceSession.create(path.join(HERE, asked.model), sessionOptions(asked, short));
  return (await check(ort, session, asked, read, console.log)) ? 1 : 0;
}

process.exit(await main().catch((error) => {
  console.log(`it does not run here: ${error.message}`);
  return 2;
}));
