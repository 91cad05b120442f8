"""Opsets and signatures of ONNX files, read in a child process: nothing beside a measurement may import onnx.

Run as `python -m harness.gate.checks.signature` it is that child.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import processes
from harness.errors import BuildError
from harness.records import Json

MODULE = "harness.gate.checks.signature"
DEADLINE_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What is known of one contender beside its artifact's own counts.

    Attributes:
        opsets: domain -> version.
        inputs, outputs: `name: type [shape]` each, in order.
        placement: provider -> share of nodes, as a worker's `open` says it; empty where unknown.
        kernels: executed kernels by operator, after all of ONNX Runtime's own optimization; empty where unknown.
    """

    opsets: Mapping[str, int] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    placement: Mapping[str, float] = field(default_factory=dict)
    kernels: Mapping[str, int] = field(default_factory=dict)


def read(paths: Sequence[Path]) -> dict[Path, Signature]:
    """Opsets and signatures of ONNX files, read in a child process.

    Raises:
        BuildError: one of them is not a whole ONNX file, or the child died.
    """
    if not paths:
        return {}
    unique = list(dict.fromkeys(paths))
    package = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = processes.run_text(
        [sys.executable, "-P", "-m", MODULE],
        deadline_s=DEADLINE_S,
        stdin=json.dumps([str(path) for path in unique]),
        environment={**os.environ, "PYTHONPATH": search},
    )
    if done.returncode == processes.TIMED_OUT:
        raise BuildError(f"Reading {len(unique)} ONNX files took longer than {DEADLINE_S:.0f} s")
    if done.returncode:
        words = " | ".join(done.stderr.strip().splitlines()[-3:])
        raise BuildError(f"The process that reads ONNX files ended with exit code {done.returncode}: {words}")
    answers = json.loads(done.stdout)
    for answer in answers:
        if "error" in answer:
            raise BuildError(answer["error"])
    return {path: _of_answer(answer) for path, answer in zip(unique, answers, strict=True)}


def _of_answer(answer: Mapping[str, Any]) -> Signature:
    return Signature(
        opsets={str(domain): int(version) for domain, version in answer["opsets"].items()},
        inputs=tuple(_value(one) for one in answer["inputs"]),
        outputs=tuple(_value(one) for one in answer["outputs"]),
    )


def _value(one: Mapping[str, Any]) -> str:
    shape = "" if one["shape"] is None else f" [{', '.join(str(axis) for axis in one['shape'])}]"
    return f"{one['name']}: {one['type']}{shape}"


def main() -> int:
    """The child: a JSON list of paths on stdin, a JSON list of what they hold on stdout."""
    from harness.build.inspect import inspect

    answers: list[dict[str, Json]] = []
    for path in json.loads(sys.stdin.read()):
        try:
            found = inspect(Path(path))
        except BuildError as error:
            answers.append({"error": str(error)})
        else:
            answers.append({key: found[key] for key in ("opsets", "inputs", "outputs")})
    sys.stdout.write(json.dumps(answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
