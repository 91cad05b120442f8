"""What is written where the output cannot hold every character."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import encoding
from harness.units import seconds


@pytest.mark.parametrize(
    ("name", "errors", "expected"),
    [
        ("ascii", "strict", b"37.4 us \\u2581"),
        ("ascii", "backslashreplace", b"37.4 us \\u2581"),
        ("latin-1", "strict", b"37.4 \xb5s \\u2581"),
        ("utf-8", "strict", "37.4 µs ▁".encode()),
        ("ascii", "replace", b"37.4 ?s ?"),
    ],
)
def test_what_an_encoding_lacks_is_spelled(name: str, errors: str, expected: bytes) -> None:
    """Microseconds as `us`, anything else as an escape; who chose another way of writing keeps it."""
    kept = io.BytesIO()
    stream = io.TextIOWrapper(kept, encoding=name, errors=errors)
    encoding.spell_out(stream)
    stream.write(f"{seconds(37.4e-6)} ▁")
    stream.flush()
    assert expected == kept.getvalue()


def test_the_command_line_writes_to_an_ascii_terminal(tmp_path: Path) -> None:
    """A message with a path that ASCII lacks is written, not raised as another error."""
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", "results", "--results", str(tmp_path / "µ")],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "HARNESS_CACHE": str(tmp_path)},
    )
    assert rb"/\xb5; make" in done.stdout
    assert b"Traceback" not in done.stderr
