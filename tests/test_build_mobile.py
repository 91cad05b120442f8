"""What CoreML and NNAPI would take of a graph, by onnxruntime's own checker; nothing is timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.build import mobile, mobile_child
from harness.build.mobile import MobileUse
from harness.flow import execute
from harness.flow.preview import SweepSettings
from harness.flow.progress import Progress
from harness.records import Status
from tests import builders, outcomes


@pytest.mark.parametrize(("provider", "form"), [("CoreMLExecutionProvider", True), ("NnapiExecutionProvider", False)])
def test_the_checker_counts_nodes_and_partitions(tmp_path: Path, provider: str, form: bool) -> None:
    """Of a small network they take everything, in one piece."""
    model = tmp_path / "net.onnx"
    builders.tiny_conv(model)
    found = MobileUse(**mobile_child.check(provider, model, {"batch": 1}))
    assert (1, found.nodes) == (found.partitions, found.taken)
    assert 1.0 == found.share
    assert form == bool(found.form)


def test_a_row_has_what_the_checker_says_and_no_latency(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unsupported as before, with a placement and a note; another provider has neither."""
    use = MobileUse(form="MLProgram", nodes=40, taken=30, partitions=3, operators=("NonMaxSuppression", "Resize"))
    asked: list[Any] = []

    def usable(*given: Any) -> MobileUse:
        asked.append(given)
        return use

    monkeypatch.setattr(mobile, "usable", usable)
    settings = SweepSettings(processes=1, time_per_case=1.0, ci_width=0.02)
    for provider, share in (("CoreMLExecutionProvider", 0.75), ("DmlExecutionProvider", None)):
        of = outcomes.case(provider=provider)
        job = execute.Job(
            case=of, built=outcomes.artifact(of), settings=settings, cache=tmp_path, unusable="no such provider here"
        )
        ended = execute.conclude(job, Progress().plus(execute.time_once(job)))
        assert (Status.UNSUPPORTED, "no such provider here", None) == (ended.status, ended.reason, ended.latency)
        assert share == ended.placement.get(provider)
        assert [
            "30 of 40 nodes in 3 partitions as MLProgram; not known to it: NonMaxSuppression, Resize" in note
            for note in ended.notes
        ] == [True] * len(asked) * (share is not None)
    assert 1 == len(asked)
