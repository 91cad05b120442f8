// The examples of a session's inputs from files and messages, and its outputs into files, as the protocol says.

import fs from "node:fs";
import path from "node:path";
import { at, count, fitting, fromBytes, fromNpy, joined, npyHeader, onnxType, Refused, toBytes } from "./values.mjs";

/** The examples of one input, as an entry of `feeds` describes them. */
export class Examples {
  constructor(feeds, { name, type, shape }) {
    const entry = feeds[name];
    if (entry === undefined) {
      throw new Refused("input", `no feed for input '${name}'; feeds: ${Object.keys(feeds).sort().join(", ") || "none"}`);
    }
    if (entry.type) {
      throw new Refused("not_implemented", `input '${name}' is fed ${entry.type}, which JavaScript has no array for`);
    }
    Object.assign(this, { name, type, shape, rows: "concatenated" in entry, files: entry.files ?? [] });
    const whole = entry.stacked ?? entry.concatenated;
    this.held = whole ? fromNpy(fs.readFileSync(whole)) : null;
    this.sent = (entry.data ?? []).map((one) => fromBytes(one.dtype, one.shape, Buffer.from(one.base64, "base64")));
    this.count = this.files.length || this.sent.length || (this.held?.dims[0] ?? 0);
    if (!this.count) throw new Refused("input", `the feed of input '${name}' holds no example`);
  }

  /** One example with all its axes; round and round where fewer are stored. */
  whole(place) {
    const index = place % this.count;
    if (this.files.length) return fromNpy(fs.readFileSync(this.files[index]));
    return this.sent.length ? this.sent[index] : at(this.held, index);
  }

  /** The examples at `places`, one behind another along `axis`, of the model's type; without an axis the first. */
  batch(places, axis) {
    let chosen;
    if (this.rows && this.shape.length) {
      const rows = places.map((place) => at(this.held, place % this.count));
      chosen = joined(rows.map((one) => ({ ...one, dims: [1, ...one.dims] })), 0, this.name);
    } else if (this.rows) {
      chosen = { ...at(this.held, 0), dims: [] };
    } else if (axis === undefined || axis === null || places.length === 1) {
      chosen = this.whole(places[0]);
    } else {
      chosen = joined(places.map((place) => this.whole(place)), axis, this.name);
    }
    return fitting(chosen, this.type, this.name);
  }
}

/** The examples of one batch; as many batches as there are examples differ from one another. */
export function places(number, batch, stored) {
  const different = stored / common(stored, batch); // so many begin at an example of their own, one behind the other
  const first = number * batch + Math.floor(number / different);
  return Array.from({ length: batch }, (_, index) => (first + index) % stored);
}

function common(a, b) {
  return b ? common(b, a % b) : a;
}

/** The feeds that inferences rotate through, as `open` asks for them: input -> value, one per batch. */
export function rotation(request, inputs) {
  const { batch, feeds } = request;
  const axes = request.batch_axes ?? {};
  const given = inputs.map((spec) => {
    const examples = new Examples(feeds, spec);
    const axis = examples.rows ? 0 : axes[spec.name];
    const first = spec.shape[0];
    if (batch !== 1 && !Object.keys(axes).length && !examples.rows) {
      const fixed = typeof first === "number" && first >= 0;
      throw new Refused("batch", fixed
        ? `input '${spec.name}' has a fixed batch of ${first}, not ${batch}`
        : `no input declares a batch axis, so that only batch 1 is possible, not ${batch}`);
    }
    const size = axis === undefined ? undefined : spec.shape[axis];
    if (typeof size === "number" && size >= 0 && size !== batch) {
      throw new Refused("batch", `input '${spec.name}' has a fixed batch of ${size}, not ${batch}`);
    }
    return { examples, axis };
  });
  const stored = Math.max(1, ...given.map(({ examples }) => examples.count));
  const turns = Math.max(1, Math.min(request.rotate || 1, stored));
  return Array.from({ length: turns }, (_, number) => {
    const chosen = places(number, batch, stored);
    return Object.fromEntries(given.map(({ examples, axis }) => [examples.name, examples.batch(chosen, axis)]));
  });
}

/** The files of one output: one for all examples while their shapes agree, else one each. */
class OutputFiles {
  constructor(folder, total, index, name) {
    Object.assign(this, { folder, total, index, name, files: [], kept: [], alike: true });
  }

  put(value) {
    const [first] = this.kept;
    this.alike &&= value.type !== "string" && (!first || (first.type === value.type && `${first.dims}` === `${value.dims}`));
    // A runtime may write the next outputs over these.
    this.kept.push({ type: value.type, dims: [...value.dims], data: value.data.slice() });
  }

  /** Write everything; what the reply says of it. */
  entry() {
    const { name } = this;
    if (this.alike) {
      const [first] = this.kept;
      const parts = this.kept.map((one) => toBytes(one)[1]);
      const stacked = `${this.index}.npy`;
      write(path.join(this.folder, stacked), toBytes(first)[0], [this.total, ...first.dims], parts);
      return { name, stacked };
    }
    const files = this.kept.map((one, place) => {
      const [descr, bytes] = toBytes(one);
      const file = `${this.index}-${place}.npy`;
      write(path.join(this.folder, file), descr, one.dims, [bytes]);
      return file;
    });
    return { name, files };
  }
}

function write(file, descr, dims, parts) {
  const open = fs.openSync(file, "w");
  try {
    for (const part of [npyHeader(descr, dims), ...parts]) fs.writeSync(open, part);
  } finally {
    fs.closeSync(open);
  }
}

/**
 * Run every example once and write the outputs: the protocol's `outputs`.
 *
 * @param run feed -> output values in order
 */
export async function writeOutputs(request, inputs, outputs, run) {
  const given = inputs.map((spec) => new Examples(request.feeds, spec));
  if (given.some((one) => one.rows)) return writeRows(request, given, outputs, run);
  const files = outputs.map(({ name }, index) => new OutputFiles(request.folder, request.examples, index, name));
  for (let place = 0; place < request.examples; place++) {
    const values = await run(Object.fromEntries(given.map((one) => [one.name, one.batch([place], null)])));
    files.forEach((one, index) => one.put(values[index]));
  }
  return { outputs: files.map((one) => one.entry()) };
}

/** As above where axis 0 of a feed's file is the batch axis: so it is in the files of the outputs. */
async function writeRows(request, given, outputs, run) {
  const batch = request.batch ?? 1;
  const total = request.examples;
  const rows = outputs.map(() => []);
  for (let first = 0; first < total; first += batch) {
    const chosen = Array.from({ length: batch }, (_, index) => (first + index) % total);
    const values = await run(Object.fromEntries(given.map((one) => [one.name, one.batch(chosen, 0)])));
    values.forEach((value, index) => {
      const alike = value.dims.length > 0 && value.dims[0] === batch;
      for (let row = 0; row < Math.min(batch, total - first); row++) {
        rows[index].push(alike ? at(value, row) : { ...value, data: value.data.slice() });
      }
    });
  }
  return {
    outputs: rows.map((kept, index) => {
      const [first] = kept;
      const whole = first.type === "string" ? { type: "string", data: kept.flatMap((one) => one.data) } : null;
      const [descr, ...bytes] = whole ? toBytes(whole) : [toBytes(first)[0], ...kept.map((one) => toBytes(one)[1])];
      write(path.join(request.folder, `${index}.npy`), descr, [total, ...first.dims], bytes);
      return { name: outputs[index].name, concatenated: `${index}.npy` };
    }),
  };
}

/** [name, type, shape] of inputs or outputs, as replies to `open` have them. */
export function described(specs) {
  return specs.map(({ name, type, shape }) => [name, onnxType(type), shape]);
}

/** Inputs or outputs of a session of onnxruntime-common. */
export function specs(metadata) {
  return metadata.map(({ name, isTensor, type, shape }) => {
    if (!isTensor) throw new Refused("not_implemented", `'${name}' is not a tensor, which onnxruntime's JavaScript cannot pass`);
    return { name, type, shape };
  });
}

/** The value that the reference workload feeds: halves. */
export function halves(shape) {
  return { type: "float32", dims: shape, data: new Float32Array(count(shape)).fill(0.5) };
}
