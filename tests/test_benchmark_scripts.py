"""benchmarks/: every script is still one that runs against the package, and its README lists it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
HELPERS = {"__init__", "common", "hosts"}
SCRIPTS = sorted({path.stem for path in FOLDER.glob("*.py")} - HELPERS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_can_be_imported(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it takes from the package is there; nothing is measured by importing it."""
    monkeypatch.syspath_prepend(FOLDER)  # as `python benchmarks/...` has it
    runpy.run_path(str(FOLDER / f"{script}.py"), run_name=script)


def test_the_readme_lists_every_script() -> None:
    """And none that is gone."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert SCRIPTS == sorted(set(re.findall(r"(\w+)\.py\b", text)) - HELPERS)
