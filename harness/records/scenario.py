"""How requests arrive while a case is timed, in MLPerf's words: parsed and written here, and nowhere else.

A scenario is a short text, the end of a target's label: `multi4`, `sessions4`, `shared4`, `offline`, `server50ms`,
`server200qps`, and `x2` behind a server's where two requests may be served at a time. Without one it is single-stream:
the next request comes when the last one is answered. Standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SINGLE: Final = "single-stream"
MULTI: Final = "multi-stream"
OFFLINE: Final = "offline"
SERVER: Final = "server"
KINDS: Final = (SINGLE, MULTI, OFFLINE, SERVER)

MOST_STREAMS: Final = 256
"""Requests at a time: each has a thread and buffers of its own."""

MULTI_WORD: Final = "multi"
SESSIONS: Final = "sessions"
SHARED: Final = "shared"

PATTERN: Final = (
    r"(?:multi|sessions|shared)[1-9][0-9]{0,2}|offline|server[0-9]{1,9}(?:\.[0-9]{1,6})?(?:ms|qps)(?:x[1-9][0-9]{0,2})?"
)
"""What stands behind a label's batch; no name of a target ends like it, since threads stand between."""

EXAMPLES: Final = "multi4, sessions4, shared4, offline, server50ms, server200qps, server50msx2"

_MULTI: Final = re.compile(rf"({MULTI_WORD}|{SESSIONS}|{SHARED})([0-9]+)")
_SERVER: Final = re.compile(r"server([0-9.]+)(ms|qps)(?:x([0-9]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How requests arrive.

    Attributes:
        kind: one of `KINDS`.
        streams: how many requests are served at a time.
        sessions: over how many sessions of one process: one, or one for each stream.
        shared: whether these share one pool of threads and one arena, and have none of their own.
        bound_s: server: the highest rate is searched for at which the 99th percentile of latency is at most this.
        rate: server: requests per second, where they are given and not searched for.
    """

    kind: str = SINGLE
    streams: int = 1
    sessions: int = 1
    shared: bool = False
    bound_s: float | None = None
    rate: float | None = None

    @classmethod
    def parse(cls, text: str) -> Scenario:
        """Read what `str` gives; empty and `single-stream` are the same.

        Raises:
            ValueError: says what is expected.
        """
        if text in ("", SINGLE):
            return cls()
        if re.fullmatch(PATTERN, text):
            if text == OFFLINE:
                return cls(kind=OFFLINE)
            if found := _MULTI.fullmatch(text):
                streams = _streams(found[2], text)
                several = found[1] != MULTI_WORD
                if several and streams == 1:
                    raise ValueError(f"{text!r}: one session is single-stream; from 2 on there are several")
                return cls(kind=MULTI, streams=streams, sessions=streams if several else 1, shared=found[1] == SHARED)
            if found := _SERVER.fullmatch(text):
                number, streams = float(found[1]), _streams(found[3] or "1", text)
                if number > 0:
                    timed = found[2] == "ms"
                    return cls(
                        kind=SERVER,
                        streams=streams,
                        bound_s=number / 1e3 if timed else None,
                        rate=None if timed else number,
                    )
        raise ValueError(f"{text!r} is not a scenario; expected {SINGLE}, or such as {EXAMPLES}")

    def __str__(self) -> str:
        """The short text; empty for single-stream."""
        if self.kind == SINGLE:
            return ""
        if self.kind == MULTI:
            how = SHARED if self.shared else SESSIONS if self.sessions > 1 else MULTI_WORD
            return f"{how}{self.streams}"
        if self.kind == OFFLINE:
            return OFFLINE
        several = f"x{self.streams}" if self.streams > 1 else ""
        if self.rate is not None:
            return f"server{_number(self.rate)}qps{several}"
        return f"server{_number((self.bound_s or 0.0) * 1e3)}ms{several}"


def same(text: str) -> str:
    """A scenario's one way of being written.

    Raises:
        ValueError: as `Scenario.parse`.
    """
    return str(Scenario.parse(text))


def _streams(text: str, whole: str) -> int:
    if not 1 <= int(text) <= MOST_STREAMS:
        raise ValueError(f"{whole!r}: from 1 to {MOST_STREAMS} requests at a time")
    return int(text)


def _number(value: float) -> str:
    """Without an exponent, and no digit that says nothing."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
