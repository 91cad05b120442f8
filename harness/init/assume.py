"""The child that reads model files and says which zoo is assumed for them: `python -m harness.init.assume`.

One line of JSON in: `models` (name -> path), `inputs` (of `--input`), `data` and `budget` (the zoo's entries, or
null), `variants`, and `unread` where no file may be read. One line out: `zoo` and `notes`, or `error`.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import jobs
from harness.data import beside, npz
from harness.data import callable as callable_data
from harness.errors import HarnessError, UsageError
from harness.init import document, models, sizes
from harness.records import InputSpec
from harness.special_files import require_plain

AS_IS = "as-is"
VARIANTS = (AS_IS, "fp32-fused", "int8-dynamic", "int8-static")
"""What is measured of a file: first as it stands, then what might be shipped instead."""

FLOOR = "fidelity_db"
LIMITS = {
    FLOOR: "fidelity of at least",
    "fidelity_equal": "values equal",
    "accuracy_drop": "accuracy lost",
    "accuracy_share": "accuracy left",
    "latency": "latency",
    "size": "size",
    "memory": "memory",
    "energy": "energy of an inference",
}
"""Keys of a budget in words."""

EXAMPLES = 16
PLACES = ("path", "sets", "folder", "function")
"""Options of data sources that say where examples come from."""

LISTED = 6
Entry = dict[str, Any]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The zoo that is assumed, and what a person should know of it."""
    try:
        return assume(request)
    except HarnessError as error:
        return {"error": str(error)}


def assume(request: Mapping[str, Any]) -> dict[str, Any]:
    """The zoo as `harness init` writes it, with entries for these files.

    Raises:
        UsageError: a refinement fits none of the files, or makes no sense.
    """
    whole = document.content()
    whole["variants"].setdefault(AS_IS, {"steps": ["export"]})
    whole["defaults"]["variants"] = list(request["variants"])
    whole["data"] = {"examples": with_counts(request["data"]) if request["data"] else whole["data"]["examples"]}
    own = [InputSpec(**{**one, "shape": tuple(one["shape"])}) for one in request["inputs"]]
    usual = {FLOOR: 20}
    base: Entry = {"source": "onnx", "data": "examples", "budget": request["budget"] or usual}
    if (request["data"] or {}).get("labels"):
        base["task"] = "classification"
    known: dict[str, tuple[InputSpec, ...]] = {}
    sized: dict[str, sizes.Sizes] = {}
    there: set[str] = set()
    entries: dict[str, Entry] = {}
    for name, path in request["models"].items():
        found = () if request.get("unread") else read(path, own)
        known[name] = tuple(refined(found, own))
        there |= {one.name for one in known[name]}
        # Test inputs that lie beside a file are found without being named.
        left = ("data",) if not request["data"] and beside.of_file(Path(path)) else ()
        if not request["data"] and not left:  # examples of one's own have sizes of their own
            fits = sizes.of(Path(path), known[name])
            if fits is None and not set(known[name]) & set(own):
                known[name] = ()
            sized[name] = fits or {}
        this = {**{key: one for key, one in base.items() if key not in left}, "id": path}
        entries[name] = entry(this, known[name], sized.get(name, {}))
    check_inputs(own, there)
    if rejected({**whole, "models": entries}):
        entries = {name: accepted(whole, name, one, known[name], own) for name, one in entries.items()}
    whole["models"] = entries
    return {"zoo": whole, "notes": notes(whole, known, sized, request)}


def accepted(whole: Entry, name: str, one: Entry, inputs: Sequence[InputSpec], own: Sequence[InputSpec]) -> Entry:
    """An entry that a zoo accepts: what a zoo cannot say of a strange input, the file says itself.

    Raises:
        UsageError: what a person says of it is the mistake.
    """
    problem = rejected({**whole, "models": {name: one}})
    if not problem:
        return one
    less = {key: value for key, value in one.items() if key not in ("inputs", "dims")}
    if set(inputs) & set(own) or rejected({**whole, "models": {name: less}}):
        raise UsageError(problem)
    return less


def read(path: str, own: Sequence[InputSpec] = ()) -> tuple[InputSpec, ...]:
    """The inputs of a file, as `own` shapes them; none where it cannot be read, which its build will say better."""
    try:
        return models.file_inputs(Path(path), [one.name for one in own])
    except Exception:  # noqa: BLE001 # whatever is wrong with one file is its own failure, later and with its reason
        return ()


def refined(found: tuple[InputSpec, ...], own: list[InputSpec]) -> list[InputSpec]:
    """Inputs, with what a person says of those that are named."""
    said = {one.name: one for one in own}
    return [said.get(one.name, one) for one in found]


def entry(base: Entry, inputs: tuple[InputSpec, ...], fits: sizes.Sizes) -> Entry:
    """A model's entry, its inputs and the sizes of their open axes included."""
    if not inputs:
        return base
    dims = models.guessed(inputs, fits)
    stated = {one.name: {"dtype": one.dtype, "shape": list(one.shape)} for one in inputs}
    return {**base, "inputs": stated, **({"dims": dims} if dims else {})}


def check_inputs(own: list[InputSpec], there: set[str]) -> None:
    """Refuse what is said of an input that no file has.

    Raises:
        UsageError: naming the inputs that there are.
    """
    for one in own:
        if one.name not in there:
            have = f"the inputs are {', '.join(sorted(there))}" if there else "none of them could be read"
            raise UsageError(f"--input {one.name}: no file has such an input; {have}")


def with_counts(data: Entry) -> Entry:
    """A data entry with as many examples as there are, half of them at most to calibrate."""
    if data["source"] == "callable":
        return {**data, **_yielded(data["function"])}
    rows = _rows(data)
    if rows is None:
        return {**data, "calibration": EXAMPLES, "evaluation": EXAMPLES}
    if data["source"] == "test_sets":  # what they lack to calibrate with is drawn
        return {**data, "calibration": rows // 2 or EXAMPLES, "evaluation": rows - rows // 2}
    calibration = max(1, min(EXAMPLES, rows // 2))
    return {**data, "calibration": calibration, "evaluation": max(1, rows - calibration)}


def _rows(data: Entry) -> int | None:
    """How many examples there are; None where that is not known before they are read."""
    import numpy as np

    if data["source"] == "test_sets":
        return len(beside.sets(Path(data["sets"])))
    if data["source"] != "npz":
        return None
    path, files = Path(data["path"]), list[Path]()
    if path.is_dir():
        files = sorted(path.glob("*.npz"))
        if "labels" not in data:
            return len(files)
        path = files[0]
    try:
        require_plain(path)
        npz.require_room(path)
        with np.load(path, allow_pickle=False) as file:
            require_labels(data, file.files)
            if files:
                return len(files)
            return min((file[name].shape[0] for name in file.files if file[name].ndim), default=0)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"--data {path} cannot be read as .npz: {error}") from error


def require_labels(data: Entry, arrays: Sequence[str]) -> None:
    """Refuse data whose labels were named and are not there.

    Raises:
        UsageError: naming the arrays that there are.
    """
    wanted = data.get("labels")
    if wanted is not None and wanted not in arrays:
        raise UsageError(f"--labels {wanted}: {data['path']} has no such array; it has {', '.join(arrays)}")


def _yielded(function: str) -> dict[str, int]:
    """How many feeds of a function are taken for each split: all of them, or the usual number of one without end.

    Raises:
        UsageError: the function cannot be run, or yields too few.
    """
    try:
        found = callable_data.available(function, EXAMPLES)
    except HarnessError as error:
        raise UsageError(f"--data {function}: {error}") from error
    if not all(found.values()):
        counts = " and ".join(f"{count} for {split}" for split, count in found.items())
        raise UsageError(f"--data {function}: it yields {counts}; each needs one or more, and they share none")
    return found


def rejected(whole: Mapping[str, Any]) -> str:
    """Why `harness sweep` would refuse a zoo; empty where it would not."""
    return document.refused(json.dumps(whole, indent=1))


def notes(
    whole: Entry,
    known: Mapping[str, tuple[InputSpec, ...]],
    sized: Mapping[str, sizes.Sizes],
    request: Mapping[str, Any],
) -> list[str]:
    """What was assumed, for a person."""
    defaults, data = whole["defaults"], whole["data"]["examples"]
    what = (
        f"{data['source']} of {place}" if (place := next(filter(None, map(data.get, PLACES)), "")) else "random numbers"
    )
    first = next(iter(whole["models"].values()))
    said = {key: f"{value:g} dB" if key == FLOOR else value for key, value in first["budget"].items()}
    limits = ", ".join(f"{LIMITS[key]} {value}" for key, value in said.items())
    taken = (
        f"assumed, without a zoo: variants {', '.join(request['variants'])}; provider cpu, "
        f"threads {', '.join(map(str, defaults['threads']))}, batch {', '.join(map(str, defaults['batch']))}; "
        f"data: {what}, {data['calibration']} examples to calibrate and {data['evaluation']} to evaluate; "
        f"budget: {limits}"
    )
    lines = [taken]
    for name, inputs in list(known.items())[:LISTED]:
        path = Path(request["models"][name]).name
        stated = ", ".join(f"{one.name} {one.dtype} [{', '.join(map(str, one.shape))}]" for one in inputs)
        line = f"{name} ({path}): " + (f"inputs {stated}" if stated else "its inputs are read when it is built")
        dims = models.guessed(inputs, sized.get(name))
        if dims:
            guesses = ", ".join(f"{axis} = {size}" for axis, size in dims.items())
            line += f"; guessed sizes: {guesses} (set them with --input)"
        lines.append(line)
    if len(known) > LISTED:
        lines.append(f"and {len(known) - LISTED} more files")
    return lines


def main() -> int:
    """Answer one request."""
    channel = jobs.private_channel()
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=jobs.leave_with_parent, daemon=True).start()
    jobs.send(channel, **answer(request))
    return 0


if __name__ == "__main__":
    sys.exit(main())
