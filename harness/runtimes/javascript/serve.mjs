// The worker protocol's loop: one JSON object per line in, one out.

import fs from "node:fs";
import readline from "node:readline";

export const PROTOCOL = 2;

/** Where replies go: a descriptor of their own, since whatever a library prints must not end up between two of them. */
const REPLIES = Number(process.env.HARNESS_REPLIES || 1);

export function send(message) {
  let left = Buffer.from(`${JSON.stringify(message)}\n`);
  while (left.length) left = left.subarray(fs.writeSync(REPLIES, left));
}

/** The kind of an error that onnxruntime raised, from what it says. */
export function kindOf(error) {
  if (error.kind) return error.kind;
  const text = String(error.message ?? error);
  if (/bad_alloc|Failed to allocate memory|out of memory|Array buffer allocation failed/i.test(text)) return "memory";
  if (/NOT_IMPLEMENTED|Could not find an implementation|error code = 9\b/i.test(text)) return "not_implemented";
  if (/INVALID_PROTOBUF|INVALID_GRAPH|NO_SUCHFILE|NO_MODEL|Load model from .* failed|protobuf parsing failed/i.test(text)) {
    return "model";
  }
  if (/INVALID_ARGUMENT|Got invalid dimensions|Unexpected input data type/i.test(text)) return "input";
  return "runtime";
}

const refusal = (error) => ({ ok: false, kind: kindOf(error), message: String(error.message ?? error) });

/**
 * Serve requests until `close` or the end of the input.
 *
 * @param hello makes what the first line says; where it cannot, the line says why
 * @param commands name -> what answers it
 */
export async function serve(hello, commands) {
  try {
    send({ ok: true, protocol: PROTOCOL, pid: process.pid, ...(await hello()) });
  } catch (error) {
    send(refusal(error));
    return;
  }
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const request = JSON.parse(line);
    if (request.cmd === "close") break;
    let reply;
    try {
      const command = commands[request.cmd];
      if (!command) throw new Error(`this worker does not know \`${request.cmd}\``);
      reply = { ...(await command(request)), ok: true };
    } catch (error) {
      reply = refusal(error);
    }
    send(reply);
  }
}
