"""What killed runs leave in temporary folders and the cache goes with the next run; what lives, and others', stays."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import free_memory, scratch
from harness.build.cache import Cache
from harness.measure import room
from harness.measure.coordinator import Workload
from harness.records import Reference, Target
from harness.records.values import ValueEntry


def killed(place: Path) -> list[str]:
    """Names that a process left which was killed in the middle of its work."""
    code = (
        "import os, sys\nfrom harness import scratch\nfrom pathlib import Path\n"
        "where = Path(sys.argv[1])\n"
        "for name in (f'harness-floor-{scratch.owner()}-x', f'.tmp-{scratch.owner()}-y'):\n"
        "    (where / name).mkdir()\n    (where / name / 'part').write_text('x')\n    print(name)\n"
        "sys.stdout.flush()\nos.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=False)
    assert -9 == done.returncode, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere nobody tells when a process started")
def test_leftovers_of_killed_processes_go_and_nothing_else(tmp_path: Path) -> None:
    """Not those of this process, of a number that another one has now, of another system, or of nobody known."""
    left = killed(tmp_path)
    pid, started, system = scratch.owner().split("-")
    reused, foreign = f"{pid}-{int(started) + 1}-{system}", f"{pid}-{started}-00000000"
    stays = [
        f"harness-floor-{scratch.owner()}-a", f"harness-floor-{foreign}-a", "harness-floor-abcdefgh", "harness-report",
        f"other-{left[0]}", "harness-1-2-3", f"harness-floor-999999-0-{system}-a",
    ]  # fmt: skip
    for name in (*stays, f"harness-outputs-{reused}-a"):
        (tmp_path / name).mkdir()
    (tmp_path / left[0].replace("-x", "-file")).touch()
    (tmp_path / left[0].replace("-x", "-link")).symlink_to(tmp_path / "harness-report")
    assert 4 == len(scratch.sweep_up(tmp_path))
    assert sorted([*stays, left[1]]) == sorted(path.name for path in tmp_path.iterdir())
    assert [tmp_path / left[1]] == list(Cache(tmp_path).tidy())
    assert () == scratch.sweep_up(tmp_path / "nowhere")


def test_a_folder_is_its_process_s_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name says whose it is."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch.folder("floor") as found:
        assert found.name.startswith(f"harness-floor-{os.getpid()}-")
        assert not scratch.dead(found.name)
        assert () == scratch.sweep_up()
    assert [] == list(tmp_path.iterdir())


def test_a_batch_that_cannot_fit_is_refused_with_the_estimate(tmp_path: Path) -> None:
    """By what its stored examples take, as often as they are bound."""
    (tmp_path / "x.npy").write_bytes(bytes(4_000))
    (tmp_path / "y.npy").write_bytes(bytes(400))
    entry = ValueEntry(name="x", stacked=str(tmp_path / "x.npy"))
    target = Target(name="cpu", provider="CPUExecutionProvider", intra_threads=1, batch=1000)
    work = Workload(
        model=tmp_path / "m.onnx",
        target=target,
        optimization="all",
        feeds={"x": entry},
        dims={},
        batch_axes={"x": 0},
        rotate=4,
    )
    reference = Reference(
        digest="r",
        origin="o",
        inputs=("x",),
        outputs=("y",),
        examples=4,
        labelled=False,
        feeds=(entry,),
        answers=(ValueEntry(name="y", stacked="y.npy"),),
    )
    # 1000 bytes an example, 1000 in a batch, 4 batches; and 100 bytes for each of 1000 outputs.
    assert "" == room.too_large(work, reference, tmp_path, free=4_100_000)
    why = room.too_large(work, reference, tmp_path, free=4_099_999)
    assert "batch 1000 takes about 4.10 MB for its 4 sets of inputs and its outputs alone" in why
    assert "give a smaller batch" in why
    one = dataclasses.replace(work, target=dataclasses.replace(target, batch=1), rotate=1)
    assert "" == room.too_large(one, reference, tmp_path, free=1100)


def test_the_memory_that_is_free_is_the_smaller_of_host_and_container(tmp_path: Path) -> None:
    """As the kernel tells both."""
    assert free_memory.available(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   1000 kB\n")
    assert 1_024_000 == free_memory.available(tmp_path)
    (tmp_path / "sys" / "fs" / "cgroup").mkdir(parents=True)
    for name, value in (("max", "max"), ("current", "300")):
        (tmp_path / "sys" / "fs" / "cgroup" / f"memory.{name}").write_text(value)
    assert 1_024_000 == free_memory.available(tmp_path)
    (tmp_path / "sys" / "fs" / "cgroup" / "memory.max").write_text("1000")
    assert 700 == free_memory.available(tmp_path)
