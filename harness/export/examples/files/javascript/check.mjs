// Opens the exported model as it was measured, feeds the samples, and checks what comes out: in Node and in a page.
//
// Take what you need: `sessionOptions` is how the session is made, `fed` is what one call takes.

import { nested } from "./session_config.mjs";
import { at, fitting, fromNpy } from "./values.mjs";

/** What the session was measured with; `short` turns the provider's full name into that of this package. */
export function sessionOptions(asked, short) {
  const config = { ...asked.config };
  const parallel = config["session.execution_mode"] === "1";
  delete config["session.execution_mode"];
  const own = short(asked.provider);
  const providers = [{ name: own, ...asked.provider_options }];
  const cpu = short("CPUExecutionProvider");
  if (own !== cpu && config["session.disable_cpu_ep_fallback"] !== "1") providers.push({ name: cpu });
  return {
    executionProviders: providers,
    graphOptimizationLevel: asked.optimization,
    intraOpNumThreads: asked.intra_threads ?? 0,
    interOpNumThreads: asked.inter_threads ?? 0,
    executionMode: parallel ? "parallel" : "sequential",
    freeDimensionOverrides: asked.dims,
    extra: nested(config),
    logSeverityLevel: 3,
  };
}

/** A stored value: {type, dims, data}. */
export async function value(entry, place, read) {
  if (entry.type) throw new Error(`${entry.name} is ${entry.type}, which JavaScript has no array for`);
  if (entry.files) return fromNpy(await read(entry.files[place]));
  return at(fromNpy(await read(entry.stacked)), place);
}

/** One sample: input name -> tensor. */
export async function fed(ort, session, asked, place, read) {
  const feed = {};
  for (const entry of asked.inputs) {
    const wanted = session.inputMetadata.find(({ name }) => name === entry.name);
    if (!wanted) throw new Error(`the model has no input ${entry.name}`);
    const { type, dims, data } = fitting(await value(entry, place, read), wanted.type, entry.name);
    feed[entry.name] = new ort.Tensor(type, data, dims);
  }
  return feed;
}

/** The numbers of a value; halves that are kept as bits are unpacked. */
function numbers({ type, data }) {
  return type === "float16" && data instanceof Uint16Array ? Array.from(data, half) : data;
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const rest = bits & 1023;
  if (exponent === 31) return rest ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + rest / 1024) : 2 ** -14 * (rest / 1024));
}

/** What is wrong with an output; empty where nothing is. Numbers may lie apart by a share of the largest one. */
export function differs(found, expected, tolerance) {
  if (`${found.dims}` !== `${expected.dims}`) return `shape [${found.dims}], expected [${expected.dims}]`;
  if (found.type !== expected.type) return `${found.type}, expected ${expected.type}`;
  const [own, other] = [numbers(found), numbers(expected)];
  if (!expected.type.startsWith("float")) {
    let wrong = 0;
    for (let i = 0; i < other.length; i++) wrong += own[i] !== other[i];
    return wrong ? `${wrong} of ${other.length} values differ` : "";
  }
  let [apart, largest] = [0, 0];
  for (let i = 0; i < other.length; i++) {
    if (!Number.isFinite(other[i]) || !Number.isFinite(own[i])) {
      if (!Object.is(own[i], other[i])) return "infinite or not a number at other places";
      continue;
    }
    apart = Math.max(apart, Math.abs(own[i] - other[i]));
    largest = Math.max(largest, Math.abs(other[i]));
  }
  return apart <= tolerance * largest ? "" : `differs by ${apart.toPrecision(3)}, where the largest value is ${largest.toPrecision(3)}`;
}

/**
 * Run every sample.
 *
 * @param read a file's name -> its bytes
 * @param say hears a line for every output
 * @returns how many outputs are not as expected
 */
export async function check(ort, session, asked, read, say) {
  let wrong = 0;
  for (let place = 0; place < asked.samples; place++) {
    const found = await session.run(await fed(ort, session, asked, place, read));
    for (const name of session.outputNames) {
      const entry = asked.outputs.find((known) => known.name === name);
      const what = `sample ${place}: ${name} [${found[name].dims.join(", ")}]`;
      if (!entry || asked.random.includes(name)) {
        say(`${what}, nothing to compare with`);
        continue;
      }
      const why = differs(found[name], await value(entry, place, read), asked.tolerance);
      wrong += Boolean(why);
      say(`${what}: ${why || "as expected"}`);
    }
  }
  return wrong;
}
