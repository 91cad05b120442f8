"""What `harness --help` and `harness sweep --dry-run` take of the processor, beside an empty Python.

Processor time, since a command that starts waits for nothing but the processor, and a busy host stretches wall time
alone. `--against DIR` runs another checkout of this repository in turn, such as one of an earlier commit.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from common import ROOT, host, ratios

EMPTY = "python -c pass"
MAIN = "from harness.cli import main; main()"
ARGUMENTS = {"harness --help": ["--help"], "harness sweep --dry-run": ["sweep", "--dry-run"]}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Compiled modules are kept, as they are where harness is installed."""


def processor_time(command: list[str], folder: Path) -> float:
    """Processor seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run the commands in turn and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--against", metavar="DIR", type=Path, help="another checkout, run with the same interpreter")
    arguments = parser.parse_args()
    print(host())
    trees = {"": ROOT} | ({" there": arguments.against} if arguments.against else {})
    commands = {EMPTY: ([sys.executable, "-c", "pass"], ROOT)}
    for name, words in ARGUMENTS.items():
        for where, folder in trees.items():
            commands[name + where] = ([sys.executable, "-c", MAIN, *words], folder)
    seen: dict[str, list[float]] = {name: [] for name in commands}
    for index in range(arguments.rounds + 1):
        for name in random.sample(list(commands), len(commands)):
            took = processor_time(*commands[name])
            if index:  # the first round fills the page cache
                seen[name].append(took)
    for name, times in seen.items():
        print(f"{name}: median {statistics.median(times):.3f} s of the processor")
        if name != EMPTY:
            ratios("    against an empty Python", [a / b for a, b in zip(times, seen[EMPTY], strict=True)])
        if (there := seen.get(name + " there")) is not None:
            ratios("    against the other checkout", [a / b for a, b in zip(times, there, strict=True)])


if __name__ == "__main__":
    main()
