"""How long `harness --help` and `harness sweep --dry-run` take, beside an empty Python."""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import time

from common import ROOT, host, ratios

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "harness --help": [sys.executable, "-c", "from harness.cli import main; main()", "--help"],
    "harness sweep --dry-run": [sys.executable, "-c", "from harness.cli import main; main()", "sweep", "--dry-run"],
}


def main() -> None:
    """Run the commands in turn and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    print(host())
    seen: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for index in range(arguments.rounds + 1):
        for name in random.sample(list(COMMANDS), len(COMMANDS)):
            start = time.perf_counter()
            subprocess.run(COMMANDS[name], cwd=ROOT, check=True, capture_output=True)
            if index:  # the first round fills the page cache
                seen[name].append(time.perf_counter() - start)
    empty = seen["python -c pass"]
    for name, times in seen.items():
        print(f"{name}: median {statistics.median(times):.3f} s")
        if times is not empty:
            ratios("    against an empty Python", [a / b for a, b in zip(times, empty, strict=True)])


if __name__ == "__main__":
    main()
