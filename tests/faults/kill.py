"""kill -9 at every moment: what was stored stays, nothing is torn, and the same command finishes afterwards.

    python -m tests.faults.kill --times 200 --seed 1           # random moments and random file operations, in turn
    python -m tests.faults.kill --every --only import,report   # each file operation once
    python -m tests.faults.kill --every 10 --only gate         # each tenth, of a verb that has a thousand

Each try copies a project, runs one verb, ends it with SIGKILL and looks at the folder. A file operation is an open for
writing, a rename, a removal, a new folder or an fsync below the project, in the process of the verb itself. What fails
is printed with its seed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.measure import coordinator
from harness.store import query, samples, stored_files
from harness.store.asv import files as asv_files
from tests import conftest, histories, outcomes
from tests.integration import asv_projects

LONGEST_S = 600

TELL = 20
"""Kills after which a line says how many there were: a run of hours may be stopped."""

HOOK = """
import os, signal, sys

below, at, counted = (os.environ.pop(name, "") for name in ("KILL_BELOW", "KILL_AT", "KILL_COUNT"))
if below:
    count = 0

    def operation(path):
        global count
        try:
            name = os.path.abspath(os.fspath(path))
        except TypeError:
            return
        if not name.startswith(below) or "/cache/" in name and "__pycache__" in name:
            return
        count += 1
        if str(count) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(event, arguments):
        if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            operation(arguments[0])
        elif event in ("os.rename", "os.link"):
            operation(arguments[1])
        elif event in ("os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.utime"):
            operation(arguments[0])

    def fsync(descriptor, plain=os.fsync):
        operation(below)
        plain(descriptor)
        operation(below)

    os.fsync = fsync
    sys.addaudithook(heard)
    if counted:
        import atexit

        def tell():
            with open(counted, "w") as file:
                file.write(str(count))

        atexit.register(tell)
"""
"""What the process of the verb loads first: it counts, and ends itself without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A verb and the project that it is run in.

    Attributes:
        command: arguments of Python.
        codes: exit codes of a run that nobody kills.
        spent_s: how long such a run took.
        operations: how many file operations it had.
    """

    name: str
    project: Path
    command: Sequence[str]
    codes: Sequence[int] = (0,)
    environment: Mapping[str, str] = field(default_factory=dict)
    spent_s: float = 0.0
    operations: int = 0


Try = tuple[Victim, int, float | None, int]
"""Verb, file operation (0 for none), seconds and seed."""

HARNESS = ("-c", "from harness.cli import main; main()")


def victims(top: Path, names: Sequence[str]) -> Iterator[Victim]:
    """The verbs with a project each, whose results hold earlier runs."""
    for name in names:
        folder = top / name
        folder.mkdir()
        if name == "asv":
            os.environ.setdefault(coordinator.FLOOR_BUDGET, "0.1")
            conftest.write_project(folder / "made").run("build")
            (folder / "project").mkdir()
            project = asv_projects.create(folder / "project", folder / "made" / "cache")
            project.commit("Start")
            start = ("-c", "from asv.main import main; main()")
            command = (*start, "run", *asv_projects.EXISTING, "--set-commit-hash", "HEAD")
            environment = {"HOME": str(project.root / "home"), "HARNESS_CACHE": str(project.root / "cache")}
            subprocess.run(
                [sys.executable, *command, "--bench", "track_artifact_size"],
                cwd=project.root, check=True, capture_output=True, env=os.environ | environment,
            )  # fmt: skip
            project.commit("Second")
            yield Victim(
                name=name, project=project.root, command=(*command, "--bench", "track_artifact_size"),
                environment=environment,
            )  # fmt: skip
            continue
        if name == "compact":
            for place in range(3):
                of = histories.sweep_of(str(place) * 40, place)
                histories.store(folder / "results", of, outcomes.measured(outcomes.case()))
            yield Victim(name=name, project=folder, command=(*HARNESS, "results", "compact", "--grace", "0s"))
            continue
        conftest.write_project(folder)
        zoo = (folder / "model_zoo.yaml").read_text(encoding="utf-8")
        (folder / "model_zoo.yaml").write_text(
            zoo.replace("variants: [fp32, fp32-fused, int8-static]", "variants: [fp32]")
        )
        for place in (1, 2):
            of = histories.sweep_of(str(place) * 40, place)
            histories.store(folder / "results", of, outcomes.measured(outcomes.case()))
        environment = {"HARNESS_CACHE": str(folder / "cache")}
        if name == "import":
            other = folder / "other"
            histories.store(other, histories.sweep_of("3" * 40, 3), outcomes.measured(outcomes.case("resnet50")))
        else:
            sweep = [*HARNESS, "sweep", "--no-confirm", "--processes", "1", "--time-per-case", "0.05"]
            subprocess.run(
                [sys.executable, *sweep], cwd=folder, check=True, capture_output=True, env=os.environ | environment
            )
        verbs: dict[str, tuple[Sequence[str], Sequence[int]]] = {
            "sweep": (("sweep", "--no-confirm", "--processes", "2", "--time-per-case", "0.1"), (0,)),
            "gate": (
                (
                    "gate", "--base", "tiny/fp32/cpu-t1-b1", "--head", "tiny/fp32/cpu-t1-b1", "--remeasure-same",
                    "--pairs", "6,6", "--time-limit", "2s", "--json-file", "gate.json", "--junit", "gate.xml",
                ),
                (0, 1, 3),
            ),
            "import": (("import", "other"), (0,)),
            "report": (("report", "--out", "site"), (0,)),
        }  # fmt: skip
        arguments, codes = verbs[name]
        yield Victim(name=name, project=folder, command=(*HARNESS, *arguments), codes=codes, environment=environment)


def stored(project: Path) -> dict[str, Any]:
    """Everything that a results folder holds, as its readers see it; they raise where something is torn."""
    found: dict[str, Any] = {}
    results = project / "results"
    for path in stored_files.sample_files(results):
        if path.parent.suffix != ".parts":
            found |= {f"{row['run']} {row['case']}": row for row in samples.read(path)}
    for path in asv_files.result_paths(results):
        read = asv_files.read(path)
        for name, columns in read.benchmarks.items():
            for place, point in asv_files.points(columns):
                found[f"{read.commit} {read.environment} {name} {point}"] = asv_files.at(columns, "result", place)
    for path in (results / "benchmarks.json", *results.glob("*/machine.json")):
        json.loads(path.read_bytes())
    for path in (*project.glob("*.json"), *results.glob("gates/*.json"), *results.glob("*.json")):
        json.loads(path.read_bytes())
    asked = query.query(results, all_runs=True)
    if asked.problems:
        raise asked.problems[0]
    found["rows"] = sorted((row["run"], row["case"]) for row in asked.rows)
    return found


def lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What was stored before and is not there, or is another value."""
    rows = set(before["rows"]) - set(after["rows"])
    return [
        *(name for name, value in before.items() if name != "rows" and repr(after.get(name)) != repr(value)),
        *map(str, rows),
    ]


def run(
    victim: Victim, project: Path, *, at: int = 0, after_s: float | None = None, counted: Path | None = None
) -> int:
    """Run a verb in a copy of its project; it ends at a file operation, after a time, or by itself.

    Returns:
        Its exit code, below zero for the signal that ended it.
    """
    with tempfile.TemporaryDirectory(prefix="harness-kill-hook-") as hook:
        (Path(hook) / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        environment = os.environ | {
            name: value.replace(str(victim.project), str(project)) for name, value in victim.environment.items()
        }
        environment["PYTHONPATH"] = hook  # and no more: what asv strips of it, installed packages lose too
        environment |= {"KILL_BELOW": str(project), "KILL_AT": str(at), "KILL_COUNT": str(counted or "")}
        process = subprocess.Popen(
            [sys.executable, *victim.command], cwd=project, env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            return process.wait(after_s if after_s is not None else LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def copied(victim: Victim) -> Iterator[Path]:
    """A copy of a verb's project."""
    with tempfile.TemporaryDirectory(prefix="harness-kill-", ignore_cleanup_errors=True) as name:
        yield shutil.copytree(victim.project, Path(name) / "project", symlinks=True)


def known(victim: Victim) -> Victim:
    """The verb with the length and the number of file operations of a run that nobody kills.

    Raises:
        AssertionError: if it does not end as it should.
    """
    import dataclasses
    import time

    with copied(victim) as project, tempfile.TemporaryDirectory() as folder:
        counted = Path(folder) / "counted"
        began = time.monotonic()
        code = run(victim, project, counted=counted)
        spent = time.monotonic() - began
        assert code in victim.codes, f"{victim.name} ends with {code}"
        return dataclasses.replace(victim, spent_s=spent, operations=int(counted.read_text()))


def attempt(victim: Victim, *, at: int = 0, after_s: float | None = None) -> list[str]:
    """One kill; what it broke."""
    with copied(victim) as project:
        before = stored(project)
        run(victim, project, at=at, after_s=after_s)
        try:
            problems = [f"lost: {one}" for one in lost(before, stored(project))]
        except Exception as error:  # noqa: BLE001  (whatever a reader raises is the finding)
            return [f"torn: {type(error).__name__}: {error}"]
        code = run(victim, project)
        if code not in victim.codes:
            problems.append(f"the next run ends with {code}")
        try:
            problems += [f"lost by the next run: {one}" for one in lost(before, stored(project))]
        except Exception as error:  # noqa: BLE001  (as above)
            problems.append(f"torn by the next run: {type(error).__name__}: {error}")
        return problems


def tried(one: Try) -> list[str]:
    """What one try of a plan broke."""
    victim, at, after_s, _ = one
    return attempt(victim, at=at, after_s=after_s)


def main() -> int:
    """The command line; the exit status is 1 where something was lost or torn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--every", type=int, nargs="?", const=1, default=0, metavar="N",
        help="each file operation once, in place of --times; with N each N-th",
    )  # fmt: skip
    parser.add_argument("--only", default="sweep,gate,asv,import,report,compact", help="verbs, separated by commas")
    parser.add_argument("--jobs", type=int, default=1, help="tries at a time")
    given = parser.parse_args()
    broken = done = 0
    with tempfile.TemporaryDirectory(prefix="harness-kill-", ignore_cleanup_errors=True) as name:
        chosen = [known(victim) for victim in victims(Path(name), given.only.split(","))]
        for victim in chosen:
            _say(f"{victim.name}: {victim.operations} file operations in {victim.spent_s:.1f} s")
        planned = list(plan(chosen, given.times, given.seed, every=given.every))
        with ThreadPoolExecutor(given.jobs) as pool:
            for (victim, at, after_s, seed), problems in zip(planned, pool.map(tried, planned), strict=True):
                for problem in problems:
                    broken += 1
                    where = f"operation {at}" if at else f"after {after_s:.2f} s"
                    _say(f"--seed {seed}: {victim.name}, {where}: {problem}")
                done += 1
                if not done % TELL:
                    _say(f"{done} kills so far: {broken} promises broken")
    _say(f"{done} kills of {given.only} from seed {given.seed} on: {broken} promises broken")
    return int(broken > 0)


def plan(chosen: Sequence[Victim], times: int, seed: int, *, every: int) -> Iterator[Try]:
    """Every try, in turn."""
    if every:
        for victim in chosen:
            yield from ((victim, at, None, seed) for at in range(every, victim.operations + 1, every))
        return
    for place in range(times):
        chance = random.Random(seed + place)
        victim = chosen[place % len(chosen)]
        if chance.random() < 0.5 and victim.operations:
            yield victim, chance.randint(1, victim.operations), None, seed + place
        else:
            yield victim, 0, chance.uniform(0.0, victim.spent_s), seed + place


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
