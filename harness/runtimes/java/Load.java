// The load generator: requests that arrive whether or not the last one is answered. As harness/runtimes/load.py.

package onnxexample;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;

final class Load {
  private static final long SPIN = 100_000; // the last nanoseconds before an arrival are spent looking at the clock

  /** Answers request i on a stream. */
  interface Server {
    void serve(int stream, int number) throws Exception;
  }

  private Load() {}

  /** When n requests arrive, in nanoseconds from the start: the same history in every language, splitmix64 from `seed`. */
  static long[] arrivals(int n, double rate, long seed) {
    long[] found = new long[n];
    double at = 0;
    long state = seed;
    for (int i = 0; i < n; i++) {
      state += 0x9E3779B97F4A7C15L;
      long mixed = (state ^ (state >>> 30)) * 0xBF58476D1CE4E5B9L;
      mixed = (mixed ^ (mixed >>> 27)) * 0x94D049BB133111EBL;
      at += -Math.log1p(-((mixed ^ (mixed >>> 31)) >>> 11) * 0x1p-53) / rate;
      found[i] = (long) (at * 1e9);
    }
    return found;
  }

  /** Serve the requests of the protocol's `load`: its reply, but for `preempted`. */
  static Map<String, Object> serve(Map<String, Object> request, Server server) throws Exception {
    int n = (int) Json.whole(request.get("n"), 0), streams = (int) Json.whole(request.get("streams"), 1);
    long bound = Json.whole(request.get("bound_ns"), Long.MAX_VALUE), mostLate = Json.whole(request.get("most_late"), Long.MAX_VALUE);
    long mostWait = Json.whole(request.get("most_wait_ns"), Long.MAX_VALUE);
    Object rate = request.get("rate");
    boolean open = rate instanceof Number && ((Number) rate).doubleValue() > 0;
    long[] due = open ? arrivals(n, ((Number) rate).doubleValue(), Json.whole(request.get("seed"), 0)) : new long[0];
    long[] latencies = new long[n];
    Arrays.fill(latencies, -1);
    AtomicInteger taken = new AtomicInteger(), late = new AtomicInteger();
    AtomicReference<String> ended = new AtomicReference<>("");
    AtomicReference<Throwable> failed = new AtomicReference<>();
    long start = System.nanoTime();
    Thread[] threads = new Thread[streams];
    for (int one = 0; one < streams; one++) {
      int stream = one;
      threads[one] = new Thread(() -> {
        try {
          while (failed.get() == null && ended.get().isEmpty()) {
            int i = taken.getAndIncrement();
            if (i >= n) return;
            long begun = System.nanoTime(), arrived = begun;
            if (open) {
              arrived = start + due[i];
              for (; begun < arrived; begun = System.nanoTime()) {
                if (arrived - begun > SPIN) LockSupport.parkNanos(arrived - begun - SPIN);
              }
            }
            server.serve(stream, i);
            latencies[i] = System.nanoTime() - arrived;
            if (latencies[i] > bound && late.incrementAndGet() > mostLate) ended.compareAndSet("", "late");
            if (begun - arrived > mostWait) ended.compareAndSet("", "queue");
          }
        } catch (Throwable error) {
          failed.compareAndSet(null, error);
        }
      });
    }
    for (Thread one : threads) one.start();
    for (Thread one : threads) one.join();
    long elapsed = System.nanoTime() - start;
    Throwable error = failed.get();
    if (error instanceof Error) throw (Error) error;
    if (error != null) throw (Exception) error;
    long waiting = Arrays.stream(due).skip(Math.min(taken.get(), n)).filter(at -> at <= elapsed).count();
    Map<String, Object> reply = new LinkedHashMap<>();
    reply.put("durations_ns", Arrays.stream(latencies).filter(each -> each >= 0).toArray());
    reply.put("elapsed_ns", elapsed);
    reply.put("ended", ended.get());
    reply.put("waiting", waiting);
    return reply;
  }
}
