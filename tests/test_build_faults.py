"""What a step's failure is called: an error of the step, or of the cache, and in whose words."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.build.builder import Maker
from harness.build.cache import Cache, refuses
from harness.build.steps import base, fuse
from harness.errors import BuildError, StoreError
from harness.records import Recipe, Step
from tests import builders, specs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FUSED = Recipe(name="fused", steps=(Step(kind="export"), Step(kind="fuse")))


def broken(problem: Callable[[], Any]) -> base.StepKind:
    """The fuse step as it would be with a tool that fails."""

    def run(work: base.Work, options: Any) -> base.Done:  # the signature of a step
        problem()
        return base.Done()

    return base.StepKind(name="fuse", doc="", options=fuse.STEP.options, run=run)


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Callable[[], Any]) -> None:
    """Build a variant whose fuse step fails."""
    monkeypatch.setattr("harness.build.steps.get", {**steps_by_name(), "fuse": broken(problem)}.__getitem__)
    model = specs.file_model(builders.one_node(tmp_path / "m.onnx"))
    Maker(Cache(tmp_path / "cache"), model, lambda *_: None).make(FUSED)


def steps_by_name() -> dict[str, base.StepKind]:
    """All steps."""
    from harness.build import steps

    return {name: steps.get(name) for name in steps.names()}


def test_an_error_of_a_file_is_the_step_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there, or one that numpy cannot map, fails the variant and says nothing of the cache."""

    def negative() -> None:
        np.memmap(tmp_path / "x.npy", mode="w+", shape=(-1,))

    with pytest.raises(BuildError, match=r"^fuse: "):
        make(tmp_path, monkeypatch, (tmp_path / "missing").read_bytes)
    with pytest.raises(BuildError, match=r"^fuse: "):
        make(tmp_path, monkeypatch, negative)
    with pytest.raises(BuildError, match=r"^fuse: .*odd"):
        make(tmp_path, monkeypatch, lambda: (_ for _ in ()).throw(OSError("odd")))


def test_a_strange_error_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads Python's own complaints; the place is named, so that a report can be written."""
    with pytest.raises(BuildError, match=r"^fuse: it cannot work on this graph \(it broke in .*, line \d+\)$"):
        make(tmp_path, monkeypatch, lambda: [].shape)  # type: ignore[attr-defined]


def test_a_full_cache_ends_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cache itself takes no more, no other variant can be built either."""

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreError, match="cannot be written"):
        make(tmp_path, monkeypatch, full)


@pytest.mark.parametrize(
    ("code", "place", "expected"),
    [
        (errno.ENOSPC, None, True),
        (errno.ENOSPC, "cache/x", True),
        (errno.ENOSPC, "elsewhere/x", False),
        (errno.EACCES, "cache/x", True),
        (errno.EACCES, "elsewhere/x", False),
        (errno.EACCES, None, False),
        (errno.ENOENT, "cache/x", False),
    ],
)
def test_only_what_lies_in_the_cache_is_the_cache_s(
    tmp_path: Path, code: int, place: str | None, expected: bool
) -> None:
    """A refusal counts for the cache where the file lies in it, or where a full disk names no file."""
    error = OSError(code, "no", str(tmp_path / place)) if place else OSError(code, "no")

    assert expected == refuses(tmp_path / "cache", error)
