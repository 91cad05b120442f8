"""harness.gate.timing.lock: two gates at once on one host measure one after the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.gate.timing import lock
from harness.store import files

HOLDER = """
import sys, time
from pathlib import Path
from harness.gate.timing import lock
with lock.alone(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_second_waits_for_the_first(tmp_path: Path) -> None:
    """The second says that it waits, begins when the first process ends, however that ends, and says so."""
    said: list[str] = []
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert "held\n" == other.stdout.readline()

        def say(text: str) -> None:
            said.append(text)
            if len(said) == 1:
                assert files.Lock.attempt(tmp_path / lock.LOCK) is None
                other.kill()

        with lock.alone(tmp_path, say):
            assert -signal.SIGKILL == other.wait(timeout=300)
    assert said[0].startswith("waiting for another gate")
    assert [f"the other gate (process {other.pid}) is done"] == said[1:]


def test_nobody_else_means_no_words(tmp_path: Path) -> None:
    """Alone, nothing is said, and the lock is free afterwards, also where measuring was stopped."""
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt), lock.alone(tmp_path / "new", said.append):
        assert files.Lock.attempt(tmp_path / "new" / lock.LOCK) is None
        raise KeyboardInterrupt
    free = files.Lock.attempt(tmp_path / "new" / lock.LOCK)
    assert free is not None
    free.release()
    assert [] == said


def test_cache_without_locks(tmp_path: Path) -> None:
    """Where there can be no lock the gate says so and goes on."""
    (tmp_path / "cache").write_text("a file where a folder is needed")
    said: list[str] = []
    with lock.alone(tmp_path / "cache", said.append):
        pass
    assert 1 == len(said)
    assert "cannot be locked" in said[0]
