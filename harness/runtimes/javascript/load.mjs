// The load generator: requests that arrive whether or not the last one is answered. As harness/runtimes/load.py.

const MASK = (1n << 64n) - 1n;

/** When n requests arrive, in nanoseconds from the start: the same history in every language, splitmix64 from `seed`. */
export function arrivals(n, rate, seed) {
  const found = new Array(n);
  let at = 0;
  let state = BigInt(seed) & MASK;
  for (let i = 0; i < n; i++) {
    state = (state + 0x9e3779b97f4a7c15n) & MASK;
    let mixed = ((state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
    mixed = ((mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn) & MASK;
    const uniform = Number((mixed ^ (mixed >> 31n)) >> 11n) * 2 ** -53;
    at += -Math.log1p(-uniform) / rate;
    found[i] = Math.trunc(at * 1e9);
  }
  return found;
}

const TIMER_NS = 2_000_000; // setTimeout counts whole milliseconds, and comes late

/** Leave the event loop to others until the clock is there. */
async function until(due, clock) {
  for (let left = due - clock(); left > 0; left = due - clock()) {
    await new Promise((go) => (left > TIMER_NS ? setTimeout(go, (left - TIMER_NS) / 1e6) : setImmediate(go)));
  }
}

/**
 * Serve requests: the reply to the protocol's `load`, but for `preempted`.
 *
 * @param request of the protocol
 * @param serve answers request i on a stream
 */
export async function load(request, serve, clock = () => Number(process.hrtime.bigint())) {
  const { n, rate, bound_ns: bound, most_late: mostLate, most_wait_ns: mostWait } = request;
  const due = rate ? arrivals(n, rate, request.seed ?? 0) : null;
  const latencies = new Array(n).fill(-1);
  let [taken, late, ended, failed] = [0, 0, "", null];
  const start = clock();
  const stream = async (number) => {
    while (taken < n && !ended && !failed) {
      const i = taken++;
      try {
        if (due) await until(start + due[i], clock);
        const begun = clock();
        const arrived = due ? start + due[i] : begun;
        await serve(number, i);
        latencies[i] = clock() - arrived;
        if (bound != null && latencies[i] > bound && ++late > (mostLate ?? Infinity)) ended ||= "late";
        if (mostWait != null && begun - arrived > mostWait) ended ||= "queue";
      } catch (error) {
        failed ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: request.streams ?? 1 }, (_, number) => stream(number)));
  const elapsed = clock() - start;
  if (failed) throw failed.error;
  const waiting = due ? due.slice(taken).filter((at) => at <= elapsed).length : 0;
  return { durations_ns: latencies.filter((one) => one >= 0), elapsed_ns: elapsed, ended, waiting };
}
