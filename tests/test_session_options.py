"""The checked list of session config keys."""

from __future__ import annotations

import mmap
import platform
from pathlib import Path

import onnxruntime
import pytest

from harness.session_options import ARM_ONLY, ELSEWHERE, KEYS, problem


@pytest.fixture(scope="module")
def absent() -> set[str]:
    """Listed keys that do not occur in the installed onnxruntime's library."""
    folder = Path(onnxruntime.__file__).parent / "capi"
    library = next(path for path in folder.iterdir() if path.name.startswith("onnxruntime_pybind11_state"))
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return {key for key in [*KEYS, *ELSEWHERE] if content.find(key.encode()) < 0}


def test_every_key_is_in_the_library(absent: set[str]) -> None:
    """A key that onnxruntime does not hold would be accepted and do nothing."""
    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    if version < (1, 31):
        pytest.skip(f"the list is that of onnxruntime 1.31; installed is {onnxruntime.__version__}")
    assert (set() if "arm" in platform.machine().lower() else set(ARM_ONLY)) == absent


def test_entries_that_onnxruntime_ignores() -> None:
    """The Python binding accepts a thread count as a config entry and leaves the session's own as it was."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op_num_threads", "7")
    assert 1 == options.intra_op_num_threads
    assert "`threads`" in str(problem("session.intra_op_num_threads", "7"))


def test_misspelt_key() -> None:
    """A misspelt key is refused with the one that was meant."""
    assert "did you mean 'session.intra_op.allow_spinning'?" in str(problem("session.intra_op.alow_spinning", "0"))


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("session.intra_op.allow_spinning", "0", True),
        ("session.intra_op.allow_spinning", "off", False),
        ("session.intra_op.spin_duration_us", "1000", True),
        ("session.intra_op.spin_duration_us", "1ms", False),
        ("session.qdq_matmulnbits_block_size", "-1", True),
        ("session.intra_op_thread_affinities", "1;2", True),
    ],
)
def test_values(key: str, value: str, good: bool) -> None:
    """A value that onnxruntime does not know counts as "off" or the default without a word."""
    assert good == (problem(key, value) is None)
