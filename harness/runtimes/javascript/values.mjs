// Values as NumPy stores them and as onnxruntime-common names them: {type, dims, data}.
//
// Runs in Node and in a page: it touches neither files nor the network.

/** onnxruntime-common's name of a type -> the array that holds it, and NumPy's name of it. */
export const TYPES = {
  float32: [Float32Array, "<f4"],
  float64: [Float64Array, "<f8"],
  float16: [Uint16Array, "<f2"],
  bool: [Uint8Array, "|b1"],
  int8: [Int8Array, "|i1"],
  int16: [Int16Array, "<i2"],
  int32: [Int32Array, "<i4"],
  int64: [BigInt64Array, "<i8"],
  uint8: [Uint8Array, "|u1"],
  uint16: [Uint16Array, "<u2"],
  uint32: [Uint32Array, "<u4"],
  uint64: [BigUint64Array, "<u8"],
};

const OF_NUMPY = Object.fromEntries(Object.entries(TYPES).map(([type, [, code]]) => [code, type]));

/** A worker cannot serve the request; `kind` is one of the protocol's refusals. */
export class Refused extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** As onnxruntime's own APIs write the type. */
export function onnxType(type) {
  return `tensor(${{ float32: "float", float64: "double" }[type] ?? type})`;
}

export function count(dims) {
  return dims.reduce((product, size) => product * size, 1);
}

/** A .npy file's bytes -> a value; text is an array of strings. */
export function fromNpy(bytes) {
  if (bytes.length < 10 || bytes[0] !== 0x93) throw new Refused("input", "a feed is not a .npy file");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = bytes[6] > 1;
  const start = long ? 12 : 10;
  const size = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(bytes.subarray(start, start + size));
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (descr === undefined || shape === undefined) {
    throw new Refused("input", `a feed's .npy header cannot be read: ${header.slice(0, 80)}`);
  }
  const dims = shape.split(",").map((one) => one.trim()).filter(Boolean).map(Number);
  const value = fromBytes(descr, dims, bytes.subarray(start + size));
  return /'fortran_order':\s*True/.test(header) ? inRowOrder(value) : value;
}

/** NumPy's dtype, sizes and bytes -> a value in memory of its own. */
export function fromBytes(descr, dims, bytes) {
  const total = count(dims);
  const text = /^<U(\d+)$/.exec(descr);
  if (text) return { type: "string", dims, data: words(bytes, total, Number(text[1])) };
  const type = OF_NUMPY[descr];
  if (type === undefined) throw new Refused("input", `a feed is NumPy's ${descr}, which JavaScript has no array for`);
  const Holder = TYPES[type][0];
  const needed = total * Holder.BYTES_PER_ELEMENT;
  if (bytes.byteLength < needed) throw new Refused("input", `a feed holds ${bytes.byteLength} bytes, not ${needed}`);
  // A copy: Node's Buffer.slice() would share the file's memory, header and all.
  return { type, dims, data: new Holder(Uint8Array.prototype.slice.call(bytes, 0, needed).buffer) };
}

function words(bytes, total, width) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: total }, (_, index) => {
    let word = "";
    for (let at = 0; at < width; at++) {
      const point = view.getUint32(4 * (index * width + at), true);
      if (point) word += String.fromCodePoint(point);
    }
    return word;
  });
}

/** A value that was read with its first axis varying fastest, with its last axis varying fastest. */
function inRowOrder({ type, dims, data }) {
  const made = data.slice();
  const place = dims.map(() => 0);
  for (let to = 0; to < made.length; to++) {
    let from = 0;
    for (let axis = dims.length - 1; axis >= 0; axis--) from = from * dims[axis] + place[axis];
    made[to] = data[from];
    for (let axis = dims.length - 1; axis >= 0 && ++place[axis] === dims[axis]; axis--) place[axis] = 0;
  }
  return { type, dims, data: made };
}

/** A value -> NumPy's dtype and the bytes. */
export function toBytes({ type, data }) {
  if (type !== "string") {
    if (!(type in TYPES)) throw new Refused("not_implemented", `an output is ${type}, which has no NumPy type`);
    return [TYPES[type][1], new Uint8Array(data.buffer, data.byteOffset, data.byteLength)];
  }
  const points = data.map((word) => Array.from(word, (one) => one.codePointAt(0)));
  const width = Math.max(1, ...points.map((one) => one.length));
  const held = new Uint32Array(points.length * width);
  points.forEach((one, index) => held.set(one, index * width));
  return [`<U${width}`, new Uint8Array(held.buffer)];
}

/** The header of a .npy file. */
export function npyHeader(descr, dims) {
  const shape = dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(", ")})`;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  const padded = `${text}${" ".repeat((64 - ((text.length + 11) % 64)) % 64)}\n`;
  const head = Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, padded.length & 255, padded.length >> 8);
  return new Uint8Array([...head, ...new TextEncoder().encode(padded)]);
}

/** A part of a value along its first axis, which goes. */
export function at({ type, dims, data }, index) {
  const size = count(dims.slice(1));
  return { type, dims: dims.slice(1), data: data.slice(index * size, (index + 1) * size) };
}

/** Values one behind another along an axis. */
export function joined(values, axis, name) {
  const [first] = values;
  for (const one of values) {
    const alike = one.dims.length === first.dims.length && one.dims.every((d, i) => i === axis || d === first.dims[i]);
    if (!alike || axis >= one.dims.length || one.type !== first.type) {
      const shapes = `[${first.dims}] and [${one.dims}]`;
      throw new Refused("batch", `the examples of input '${name}' do not fit behind one another: ${shapes}`);
    }
  }
  const dims = first.dims.slice();
  dims[axis] = values.reduce((sum, one) => sum + one.dims[axis], 0);
  const outer = count(dims.slice(0, axis));
  const data = first.type === "string" ? new Array(count(dims)) : new TYPES[first.type][0](count(dims));
  let to = 0;
  for (let block = 0; block < outer; block++) {
    for (const one of values) {
      const size = one.data.length / outer;
      for (let i = 0; i < size; i++) data[to++] = one.data[block * size + i];
    }
  }
  return { type: first.type, dims, data };
}

/** A value as an input takes it. */
export function fitting(value, wanted, name) {
  if (value.type === wanted) return value;
  const numbers = value.type in TYPES && wanted in TYPES && ![value.type, wanted].includes("float16");
  if (!numbers) throw new Refused("input", `input '${name}' takes ${onnxType(wanted)}, and its feed is ${value.type}`);
  const big = wanted === "int64" || wanted === "uint64";
  const convert = big ? (x) => BigInt(typeof x === "bigint" ? x : Math.trunc(x)) : Number;
  return { type: wanted, dims: value.dims, data: TYPES[wanted][0].from(value.data, convert) };
}
