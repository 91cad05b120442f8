"""The load generator: requests that arrive whether or not the last one is answered. It sits in the worker.

A file that stands alone: standard library only, any Python from 3.8. Time is a function and waiting is another, so
that a queue can be simulated.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

SPIN_NS = 100_000
"""The last part of waiting for an arrival is spent looking at the clock: sleeping overshoots by about as much."""

MASK = 2**64 - 1

LATE, QUEUE = "late", "queue"
"""Why a load was ended early: too many requests were answered late; one waited too long for its turn."""


def arrivals(n: int, rate: float, seed: int) -> list[int]:
    """When n requests arrive, in nanoseconds from the start: a Poisson process of `rate` per second.

    With one seed a higher rate is the same history, played faster; and it is the same in every worker, whatever its
    language, since the numbers are those of splitmix64, which is ten lines anywhere.
    """
    found, at, state = [0] * n, 0.0, seed & MASK
    for i in range(n):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        uniform = ((mixed ^ (mixed >> 31)) >> 11) * 2.0**-53
        at += -math.log1p(-uniform) / rate
        found[i] = int(at * 1e9)
    return found


def wait_until(due: int, clock: Callable[[], int]) -> None:
    """Sleep, and look at the clock for the last moment."""
    while True:
        left = due - clock()
        if left <= 0:
            return
        time.sleep((left - SPIN_NS) / 1e9 if left > SPIN_NS else 0)


class Load:
    """One load: what is asked, and how far it is.

    Args:
        serve: answers request i on a stream; what it needs must not be shared with another stream.
        n: how many requests.
        streams: how many are served at a time.
        due: when each arrives, in nanoseconds from the start; None where a stream's next one arrives when its last
            one is answered.
        bound_ns: what a latency may be before the request counts as late.
        most_late: ends the load when more are late.
        most_wait_ns: ends the load when a request has waited so long for its turn.
    """

    def __init__(
        self,
        serve: Callable[[int, int], Any],
        n: int,
        streams: int = 1,
        due: list[int] | None = None,
        bound_ns: int | None = None,
        most_late: int | None = None,
        most_wait_ns: int | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
        wait: Callable[[int, Callable[[], int]], None] = wait_until,
    ) -> None:
        self.serve, self.n, self.streams, self.due = serve, n, streams, due
        self.bound_ns, self.most_late, self.most_wait_ns = bound_ns, most_late, most_wait_ns
        self.clock, self.wait = clock, wait
        self.latencies: list[int] = [-1] * n
        self.taken = self.late = 0
        self.ended = ""
        self.error: BaseException | None = None
        self.lock = threading.Lock()
        self.start = 0

    def run(self) -> dict[str, Any]:
        """Serve the requests; the reply to `load`.

        Raises:
            Exception: what a request raised.
        """
        self.start = self.clock()
        if self.streams == 1:
            self.stream(0)
        else:
            threads = [threading.Thread(target=self.stream, args=(one,), daemon=True) for one in range(self.streams)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        elapsed = self.clock() - self.start
        if self.error is not None:
            raise self.error
        waiting = sum(at <= elapsed for at in self.due[self.taken :]) if self.due else 0
        done = [one for one in self.latencies if one >= 0]
        return {"durations_ns": done, "elapsed_ns": elapsed, "ended": self.ended, "waiting": waiting}

    def stream(self, number: int) -> None:
        """Take one request after the other, until there is none."""
        try:
            while True:
                with self.lock:
                    i = self.taken
                    if i >= self.n or self.ended or self.error is not None:
                        return
                    self.taken += 1
                self.one(number, i)
        except BaseException as error:  # noqa: BLE001  (it is the answer to the request, and not of this thread)
            self.error = error

    def one(self, number: int, i: int) -> None:
        """Serve request i: its latency counts from its arrival, so that queueing is part of it."""
        if self.due is None:
            arrived = begun = self.clock()
        else:
            arrived = self.start + self.due[i]
            self.wait(arrived, self.clock)
            begun = self.clock()
        self.serve(number, i)
        latency = self.clock() - arrived
        self.latencies[i] = latency
        if self.bound_ns is not None and latency > self.bound_ns:
            with self.lock:
                self.late += 1
                if self.most_late is not None and self.late > self.most_late:
                    self.ended = self.ended or LATE
        if self.most_wait_ns is not None and begun - arrived > self.most_wait_ns:
            self.ended = self.ended or QUEUE


def asked(request: dict[str, Any], serve: Callable[[int, int], Any]) -> dict[str, Any]:
    """The reply to the protocol's `load`."""
    n, rate = request["n"], request.get("rate")
    load = Load(
        serve,
        n,
        request.get("streams") or 1,
        arrivals(n, rate, request.get("seed") or 0) if rate else None,
        request.get("bound_ns"),
        request.get("most_late"),
        request.get("most_wait_ns"),
    )
    return load.run()
