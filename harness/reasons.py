"""Why a case has no number, for a person: the point of what a library said, and never a bare error of Python's."""

from __future__ import annotations

import linecache
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from harness.errors import HarnessError

ROOT = Path(__file__).resolve().parent

NOISE: Final = (
    re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : "),
    re.compile(r"Exception during initialization: "),
    re.compile(r"/[^ :]*/onnxruntime/[^ :]+:\d+ (?:[^ ()]+ )*[^ ()]+\([^)]*\)(?:::<lambda\([^)]*\)>)? (?:const )?"),
)
"""What onnxruntime puts before its reason: its own names for the kind, and where in its source it stood."""

FROM_INSIDE: Final = (
    AttributeError, LookupError, TypeError, AssertionError, NameError, RecursionError, StopIteration,
    NotImplementedError, ArithmeticError,
)  # fmt: skip
"""Errors whose text speaks to a library's own authors: `'list' object has no attribute 'shape'`."""

NONSENSE = "the model computes nonsense"
"""What is said of a network none of whose outputs is a number, in the framework itself."""

REPORT = "this is a mistake of harness or of a library below it: please report it with the model's file"


def essence(text: str) -> str:
    """A reason in one line, without what stands before its point; nothing else is cut."""
    plain = " ".join(text.split())
    for noise in NOISE:
        plain = noise.sub("", plain)
    return plain.strip()


def reason_of(error: BaseException, *, tool: bool = False) -> str:
    """What went wrong, whoever raised it, on one line.

    An error that was raised on purpose says it itself. One of the operating system is its own words and the file. What
    a tool says of a graph is in its own words where they are meant for readers, else the place where it broke. Any
    other one is not a reason that a person could act on (`'list' object has no attribute 'shape'`): it is said to be
    harness's own.

    Args:
        error: as it was caught.
        tool: whether a library was at work on a graph.
    """
    text = essence(str(error))
    if isinstance(error, HarnessError) or (isinstance(error, ValueError) and on_purpose(error)):
        return text
    if isinstance(error, OSError) and error.strerror:
        names = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return f"{names}: {error.strerror}" if names else str(error.strerror)
    if isinstance(error, MemoryError):
        return f"there is not enough memory{f': {text}' if text else ''}"
    module = type(error).__module__.partition(".")[0]
    if module == "onnxruntime":
        return f"onnxruntime says: {text}"
    if tool:
        spoken = text and not isinstance(error, FROM_INSIDE)
        return text if spoken else f"it cannot work on this graph (it broke in {_place(error)})"
    return f"harness could not handle this (internal: {type(error).__name__}: {text}); {REPORT}"


def with_sizes(reason: str, dims: Mapping[str, int]) -> str:
    """A failure with the sizes that open axes were given: `init` guesses them, and a wrong one fails in many words."""
    if not dims:
        return reason
    sizes = ", ".join(f"{axis} = {size}" for axis, size in dims.items())
    return f"{reason} (with {sizes} for open axes: if a size does not fit the model, set `dims` in the zoo, or --input)"


def on_purpose(error: BaseException) -> bool:
    """Whether harness itself raised an error, by a statement of its own."""
    last = _last(error.__traceback__)
    if last is None:
        return True  # nobody raised it: it was made to be read
    path = Path(last.tb_frame.f_code.co_filename)
    line = linecache.getline(str(path), last.tb_lineno).strip()
    return path.is_relative_to(ROOT) and line.startswith("raise ")


def _last(trace: TracebackType | None) -> TracebackType | None:
    """Where an error was raised."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _place(error: BaseException) -> str:
    """The innermost file and line, from its package on."""
    last = _last(error.__traceback__)
    if last is None:
        return "a library"
    parts = Path(last.tb_frame.f_code.co_filename).parts
    start = max((place for place, part in enumerate(parts) if part == "site-packages"), default=len(parts) - 3)
    return f"{'/'.join(parts[max(0, start + 1) :])}, line {last.tb_lineno}"
