"""A warm sweep as a person runs it: peak memory of the coordinator, and how much of the wall time is inference."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, host

from harness.store import samples


def peak_bytes(pid: int) -> int:
    """Peak resident memory of a process so far (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Sweep once to warm the cache, once to measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="yolov8n,resnet50")
    parser.add_argument("--cold", action="store_true", help="do not warm the cache first")
    arguments = parser.parse_args()
    command = [sys.executable, "-c", "from harness.cli import main; main()"]
    if not arguments.cold:
        subprocess.run([*command, "build", arguments.models], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    print(host())
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        sweep = [*command, "sweep", "--models", arguments.models, "--results", folder]
        peak = 0
        with subprocess.Popen(sweep, cwd=ROOT) as running:
            while running.poll() is None:
                try:
                    peak = max(peak, peak_bytes(running.pid))
                except OSError:
                    break
                time.sleep(2)  # rarely: this process must not disturb what it watches
        wall = time.perf_counter() - start
        (path,) = (Path(folder) / "samples").glob("*.parquet")
        rows = samples.read(path)
    inference = sum(
        p["first_inference_ns"] + sum(p["warmup_ns"]) + sum(p["samples_ns"]) for r in rows for p in r["processes"] or []
    )
    print(f"exit code {running.returncode}, {len(rows)} cases in {wall:.0f} s")
    print(f"inference, warm-up included: {inference / 1e9 / wall:.0%} of the wall time")
    print(f"peak memory of the coordinator: {peak / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
