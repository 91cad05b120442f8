"""What the dashboard costs at 1,000 cases x 200 commits, with `asv publish` on the same history beside it.

python benchmarks/report_scale.py --cases 1000 --commits 200

The history is made up (no model runs), the files are real: one Parquet file per run with every process, asv's files
beside them, and a git repository with those commits. The promises: a site in under 60 s and 1 GB, a first page under
6 MB with the library that shows in under 2 s, and a second build after one new run in under 10 s.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.records import Case, Outcome, Run
from harness.stats.estimate import latency
from harness.store import samples
from harness.store.asv import results as asv
from harness.store.rows import to_row
from tests import outcomes

VARIANTS = ("fp32", "fp32-fused", "fp16", "bf16", "int8-dynamic", "int8-static", "int4-weights", "a", "b", "c")
PROCESSES, SAMPLES = 5, 40
START_S = 1_750_000_000
CHROMIUM = "/usr/bin/chromium"


def cases(count: int) -> list[Case]:
    """So many cases: 10 variants on 10 targets of as many models as it takes."""
    found = []
    for place in range(count):
        model, rest = divmod(place, 100)
        variant, target = divmod(rest, 10)
        threads, batch = target % 5 + 1, 1 + 7 * (target // 5)
        found.append(outcomes.case(f"model{model}", VARIANTS[variant], intra_threads=threads, batch=batch))
    return found


def outcome(case: Case, like: Outcome, level_ns: float, randomness: random.Random) -> Outcome:
    """A measured case around a level, with noise of processes and samples; all else is as in another outcome."""
    processes = []
    for _ in range(PROCESSES):
        own = level_ns * randomness.lognormvariate(0, 0.01)
        times = tuple(int(own * randomness.lognormvariate(0, 0.02)) for _ in range(SAMPLES))
        processes.append(replace(outcomes.process(int(own)), warmup_ns=times[:5], samples_ns=times))
    fusion = {"before": {"Conv": 12, "Relu": 9}, "after": {"Conv": 12}, "patterns": {"Conv+Relu": 9}}
    return replace(
        like,
        case=case,
        artifact=outcomes.artifact(case, f"weights-of-{case.model.name}", fusion=fusion),
        latency=latency(processes, 0.02),
        processes=tuple(processes),
    )


def repository(folder: Path, commits: int) -> list[str]:
    """A git repository with so many commits, oldest first."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
    stream = "".join(
        f"commit refs/heads/main\ncommitter A <a@example.org> {START_S + 86_400 * place} +0000\n"
        f"data {len(f'Change {place}')}\nChange {place}\n"
        for place in range(commits)
    )
    subprocess.run(["git", "-C", str(folder), "fast-import", "--quiet"], input=stream.encode(), check=True)
    listed = subprocess.check_output(["git", "-C", str(folder), "rev-list", "--reverse", "main"], text=True)
    return listed.split()


def runs(commits: list[str]) -> Iterator[Run]:
    """A run of each commit."""
    for place, commit in enumerate(commits):
        started = dt.datetime.fromtimestamp(START_S + 86_400 * place + 3_600, dt.UTC)
        yield outcomes.run(
            id=f"{started:%Y%m%dT%H%M%SZ}-{place:06x}",
            started_at=started.isoformat(),
            commit=commit,
            commit_time=(START_S + 86_400 * place) * 1000,
        )


def store(results: Path, commits: list[str], count: int, *, with_asv: bool) -> list[Path]:
    """Write the history; one case in twenty gets 20% slower somewhere. Returns the Parquet files, oldest first."""
    randomness = random.Random(20)  # noqa: S311  (a made-up history)
    matrix = cases(count)
    like = outcomes.measured()
    levels = [10 ** randomness.uniform(5, 8) for _ in matrix]
    slower = {place: randomness.randrange(len(commits)) for place in range(0, count, 20)}
    (results / "samples").mkdir(parents=True)
    written = []
    for at, run in enumerate(runs(commits)):
        rows = []
        for place, case in enumerate(matrix):
            level = levels[place] * (1.2 if at >= slower.get(place, len(commits)) else 1.0)
            made = outcome(case, like, level * randomness.lognormvariate(0, 0.01), randomness)
            rows.append(to_row(run, replace(made, started_at=run.started_at)))
        path = results / "samples" / f"{run.id}.parquet"
        path.write_bytes(samples.encode(rows))
        written.append(path)
        if with_asv:
            asv.write(results, run, rows)
    return written


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def first_page(site: Path) -> tuple[float, float, str]:
    """Megabytes of the first page with all that it loads, seconds until its first chart is drawn, and problems."""
    from playwright.sync_api import sync_playwright

    loaded: list[str] = []
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page()
        page.on("request", lambda request: loaded.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        start = time.perf_counter()
        page.goto((site / "index.html").as_uri(), wait_until="commit")
        # The text is there before; this waits until the library has run, and then for a chart that somebody scrolls to.
        page.wait_for_function("window.harness && harness.charts", timeout=60_000)
        page.evaluate("document.querySelector('[data-chart]').scrollIntoView()")
        page.wait_for_selector("[data-drawn]", timeout=60_000)
        shown = time.perf_counter() - start
        browser.close()
    files = [Path(url.removeprefix("file://")) for url in loaded if url.startswith("file://")]
    return sum(path.stat().st_size for path in files) / 1e6, shown, "; ".join(wrong)


def total(folder: Path) -> str:
    """Files and megabytes of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return f"{len(files):,} files, {sum(path.stat().st_size for path in files) / 1e6:.0f} MB"


def main() -> None:
    """Make the history, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--commits", type=int, default=200)
    parser.add_argument("--no-asv", action="store_true", help="leave asv out, both its files and its publish")
    parser.add_argument("--keep", type=Path, help="a new folder to work in and leave behind")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="report-scale-"))
    try:
        measure(folder, options.cases, options.commits, with_asv=not options.no_asv)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)


def measure(folder: Path, count: int, commits: int, *, with_asv: bool) -> None:
    """Make the history in a folder, and print what the site of it costs."""
    results, site = folder / "results", folder / "site"
    hashes = repository(folder, commits + 1)
    files = store(results, hashes, count, with_asv=with_asv)
    held_back = files[-1].rename(folder / "newest.parquet")
    print(f"{count:,} cases x {commits} commits, {total(results)}")
    report = [sys.executable, "-c", "from harness.cli import main; main()", "report", "--results", str(results)]
    report += ["--out", str(site)]
    seconds, memory = timed(report, folder)
    print(f"first build: {seconds:.1f} s, {memory:.0f} MB of memory; {total(site)}")
    held_back.rename(files[-1])
    seconds, memory = timed(report, folder)
    print(f"second build after one new run: {seconds:.1f} s, {memory:.0f} MB")
    seconds, memory = timed(report, folder)
    print(f"build with nothing new: {seconds:.1f} s, {memory:.0f} MB")
    if Path(CHROMIUM).exists():
        size, shown, wrong = first_page(site)
        print(f"first page: {size:.2f} MB with the library, first chart after {shown:.2f} s{'; ' * bool(wrong)}{wrong}")
    if with_asv:
        configuration: dict[str, Any] = {
            "version": 1, "project": "made-up", "repo": ".", "dvcs": "git", "branches": ["main"],
            "results_dir": "results", "html_dir": "html", "benchmark_dir": "benchmarks",
        }  # fmt: skip
        (folder / "asv.conf.json").write_text(json.dumps(configuration), encoding="utf-8")
        seconds, memory = timed([sys.executable, "-m", "asv", "publish"], folder)
        print(f"asv publish: {seconds:.1f} s, {memory:.0f} MB; {total(folder / 'html')}")


if __name__ == "__main__":
    main()
