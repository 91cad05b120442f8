"""A side's own bias: copies of this repository in different folders and environments, paired with each other.

Nothing differs between the two sides of a pair but where things lie: folders of different length, an interpreter and an
onnxruntime of their own on disk, an environment variable of another size. A gate's sides differ in just that, so what
such pairs show beyond the noise is no change of anybody's, and the default margin has to cover it. Beside them the same
file is paired with itself. The recording can be judged like any other (`gate_power.py --replay`).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common import ROOT, host
from gate_power import Progress

from harness.gate.model import GateSettings
from harness.gate.selftest import recording, selftest
from harness.gate.selftest.recording import Recording
from harness.measure.coordinator import Workload
from harness.measure.pairs import PairSpec
from harness.runtimes.client import Client
from harness.stats import paired

WORKER = Path("harness/runtimes/onnxruntime/worker.py")
SHORT, LONG = 1, 90
"""Characters in the name of a copy's folder."""

PADDING = 3000
"""Largest size of the variable that shifts a process's stack."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CopiedSide:
    """One copy: its folder, the interpreter in it, and the size of the variable that its processes get."""

    folder: Path
    python: Path
    padding: int

    def starter(self) -> Callable[[], Client]:
        """Starts a worker of this copy."""
        words = ("env", f"HARNESS_PADDING={'x' * self.padding}", str(self.python), str(self.folder / WORKER))
        return lambda: Client(words)

    def of(self, work: Workload) -> Workload:
        """A workload whose files lie in this copy."""
        kept = self.folder / "models"
        kept.mkdir(exist_ok=True)
        model = Path(shutil.copy(work.model, kept))
        return dataclasses.replace(
            work, model=model, feeds={n: Path(shutil.copy(f, kept)) for n, f in work.feeds.items()}
        )


def copied(parent: Path, name: str, padding: int) -> CopiedSide:
    """A copy of the package, with an environment that has an onnxruntime of its own and borrows everything else."""
    folder = parent / name
    shutil.copytree(ROOT / "harness", folder / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    asked = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    own = Path(subprocess.run([str(python), "-c", asked], check=True, capture_output=True, text=True).stdout.strip())
    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        raise SystemExit("onnxruntime is not installed here")
    package = Path(found.origin).parent
    shutil.copytree(package, own / "onnxruntime", ignore=shutil.ignore_patterns("__pycache__", "tools", "transformers"))
    (own / "borrowed.pth").write_text(f"{package.parent}\n")
    return CopiedSide(folder=folder, python=python, padding=padding)


def record(works: Mapping[str, Workload], copies: int, pairs: int, minutes: float, folder: Path) -> Recording:
    """Pair every workload between the two sides of each pair of copies, and with itself, all interleaved."""
    dice = random.SystemRandom()
    specs: dict[str, PairSpec] = {}
    truth: dict[str, tuple[str, float, int]] = {}

    def add(name: str, works: Sequence[Workload], starters: Sequence[Callable[[], Client]]) -> None:
        sides = ("base", "head")
        specs[name] = PairSpec(
            workloads=dict(zip(sides, works, strict=True)), clients=dict(zip(sides, starters, strict=True))
        )
        truth[name] = (name, 0.0, 0)

    for name, work in works.items():
        add(f"{name} itself", (work, work), (Client, Client))
    for number in range(copies):
        length = (SHORT, LONG) if number % 2 else (LONG, SHORT)
        sides = [
            copied(folder, f"{number}{role}" + "x" * size, dice.randrange(PADDING))
            for role, size in zip("bh", length, strict=True)
        ]
        for name, work in works.items():
            add(f"{name} copies {number}", [one.of(work) for one in sides], [one.starter() for one in sides])
    settings = GateSettings(time_limit_s=minutes * 60)
    done = selftest.rounds(specs, pairs, settings, Progress(), dice)
    return selftest.recorded(done, truth, settings)


def tell(recorded: Recording) -> None:
    """Per pair of copies the ratio that nobody changed, and the largest that is sure."""
    print("| pair of sides | pairs | spread | head / base, 95% interval |")
    print("| --- | ---: | ---: | ---: |")
    for one in recorded:
        if len(one.pairs) > 1:
            seen = paired.ratio_interval(one.log_ratios)
            spread = paired.spread(one.log_ratios)
            bounds = f"[{seen.low - 1:+.2%}, {seen.high - 1:+.2%}]" if seen.bounded else "too few pairs"
            print(f"| {one.case} | {len(one.pairs)} | {spread:.1%} | {seen.ratio - 1:+.2%} {bounds} |")
    for what in ("copies", "itself"):
        intervals = [paired.ratio_interval(one.log_ratios) for one in recorded if what in one.case and one.pairs]
        known = [one for one in intervals if one.bounded]
        if known:
            sure = max(max(one.low, 1 / one.high) for one in known)
            size = max(max(one.ratio, 1 / one.ratio) for one in known)
            widest = max(max(1 / one.low, one.high) for one in known)
            print(
                f"{what}: {len(known)} series; largest estimate {size - 1:.2%}, of which for sure "
                f"{max(sure - 1, 0.0):.2%}; none is larger than {widest - 1:.2%} (95% each)"
            )
            scatter = sum(math.log(one.ratio) ** 2 for one in known)
            most = scatter_bound(scatter, len(known))
            print(f"were all of their scatter bias: a standard deviation of at most {most:.2%}")


def scatter_bound(squares: float, n: int) -> float:
    """Upper 95% bound of a standard deviation about no change, by the chi-square quantile of Wilson and Hilferty."""
    part = 2 / (9 * n)
    return math.sqrt(squares / (n * (1 - part - 1.645 * math.sqrt(part)) ** 3))


def main() -> None:
    """Record, tell and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--copies", type=int, default=3, help="pairs of copies; each takes twice the size of onnxruntime"
    )
    parser.add_argument("--networks", type=int, default=2, help="how many of the self-test's networks")
    parser.add_argument("--pairs", type=int, default=28, help="of each pair of sides")
    parser.add_argument("--minutes", type=float, default=10.0, help="of recording")
    parser.add_argument("--record", type=Path, help="keep the recording here")
    parser.add_argument("--replay", type=Path, nargs="+", help="tell of these recordings instead")
    arguments = parser.parse_args()
    if os.name != "posix":
        raise SystemExit("copies are made for POSIX systems only")
    print(host(), flush=True)
    if arguments.replay:
        tell(recording.read(arguments.replay))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        works = dict(list(selftest.workloads(folder).items())[: arguments.networks])
        recorded = record(works, arguments.copies, arguments.pairs, arguments.minutes, folder)
    if arguments.record:
        recording.write(recorded, arguments.record)
    tell(recorded)


if __name__ == "__main__":
    main()
