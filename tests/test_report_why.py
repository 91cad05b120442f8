"""What the stored rows tell of why two measurements differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.report import links
from harness.report.data import load
from harness.report.pages import overview, why
from harness.store.rows import Row, to_row
from tests import outcomes, report_stores
from tests.report_stores import measured, pages, run, site, write

OTHER = {"python": "3.11.9", "onnxruntime-gpu": "1.32.0"}
OF_ITS_OWN = {"name": "onnxruntime", "version": "1.20.0", "build": "", "language": "python", "package": "onnxruntime"}


def row(**changes: Any) -> Row:
    """A stored row with some of its entries changed."""
    return to_row(run(), measured(outcomes.case(), 5.0)) | changes


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"versions": OTHER}, "onnxruntime-gpu 1.31.1 → 1.32.0"),
        ({}, {"measured_by": OF_ITS_OWN}, "measured by onnxruntime-gpu 1.31.1 → onnxruntime 1.20.0"),
        ({}, {"placement": {"CPUExecutionProvider": 0.25}}, "placement: CPU 100% → 25% of the nodes"),
        ({}, {"kernels": {"Conv": 5}}, "kernels: Conv 2 → 5"),
        ({}, {"status": "emulated"}, "measured → emulated"),
        ({}, {"optimization": "none"}, "optimization all → none"),
        ({}, {"session_config": {"session.intra_op.allow_spinning": "0"}}, "spinning unset → 0"),
        ({"host": {"kernel": "6.1"}}, {"host": {"kernel": "6.8"}}, "kernel 6.1 → 6.8"),
        ({}, {"floor_s": {"cpu": 5e-6}}, "the host's floor 2.50 µs → 5.00 µs"),
        ({"noise": {"steal": 0.0}}, {"noise": {"steal": 0.2}}, "taken by other machines 0% → 20%"),
        ({}, {"settings": {"processes": 2}}, "processes 5 → 2"),
    ],
)
def test_what_differs_is_named(before: dict[str, Any], after: dict[str, Any], said: str) -> None:
    """Each kind of cause that a row holds, and nothing beside it."""
    (found,) = why.differences(row(**before), row(**after))
    assert said in found


def test_nothing_differs() -> None:
    """Two rows of one build on one runtime and host; the floor and the steal of a quiet host move a little."""
    assert () == why.differences(row(), row(floor_s={"cpu": 2.6e-6}, noise={"steal": 0.01}, started_at="later"))


def test_a_lost_fusion_is_named_before_the_artifact() -> None:
    """Patterns, then operators, then digest and size; the kernels that follow from them are not repeated."""
    old = row(fusion={"patterns": {"gelu": 12}}, operators={"Gelu": 12}, kernels={"Gelu": 12})
    new = row(
        fusion={"patterns": {"gelu": 0}},
        operators={"Erf": 12, "Mul": 24},
        kernels={"Erf": 12},
        artifact={"digest": "feedc0de", "bytes": 200_000, "nodes": 3},
    )
    assert (
        "fused: gelu 12 → 0",
        "operators: Mul 0 → 24, Erf 0 → 12, Gelu 12 → 0",
        "artifact artifact → feedc0de, 123 kB → 200 kB",
    ) == why.differences(old, new)


def test_packages_that_only_build_do_not_explain_the_same_artifact() -> None:
    """A newer torch cannot have slowed what it did not make; with another artifact it may have."""
    old, new = row(versions={"torch": "2.12"}), row(versions={"torch": "2.13"})
    assert () == why.differences(old, new)
    new["artifact"] = new["artifact"] | {"digest": "feedc0de"}
    assert "torch 2.12 → 2.13" in why.differences(old, new)


def test_another_recipe_is_named() -> None:
    """By its steps, or by the step whose options changed."""
    old, new = ({"digest": name, "bytes": 1, "nodes": 1} for name in ("a", "b"))
    first = row(artifact=old, steps=[{"kind": "export"}])
    assert "recipe: export → export > fuse" in why.differences(
        first, row(artifact=new, steps=[{"kind": "export"}, {"kind": "fuse"}])
    )
    assert "recipe: other options of export" in why.differences(
        first, row(artifact=new, steps=[{"kind": "export", "opset": 20}])
    )


def test_the_first_page_says_why(tmp_path: Path) -> None:
    """What slower cases have in common stands under what got slower, in number; and in the table for each case."""
    for day, level, versions in ((0, 5.0, run().versions), (1, 9.0, OTHER)):
        found = [measured(case, level if case.recipe.name == "int8-static" else 5.0) for case in report_stores.matrix()]
        write(tmp_path / "results", run(day, versions=versions), found)
    site(tmp_path / "results", tmp_path / "site")
    index = pages(tmp_path / "site")["index.html"]
    assert "<b>2 of 2</b> onnxruntime-gpu 1.31.1 → 1.32.0" in index
    assert '<td class="long">onnxruntime-gpu 1.31.1 → 1.32.0</td>' in index


def test_no_known_cause_is_said(tmp_path: Path) -> None:
    """Where nothing that is stored differs, the page says that rather than nothing."""
    for day, level in ((0, 5.0), (1, 9.0)):
        write(tmp_path / "results", run(day), [measured(outcomes.case(), level)])
    data = load(tmp_path / "results")
    moved = overview.since_the_run_before(data)
    reasons = why.reasons(moved)
    assert [why.NOTHING] == [line["text"] for line in why.common(moved, reasons)]


def test_a_change_of_level_names_the_artifact(tmp_path: Path) -> None:
    """A build that changed between both sides is named in the history's list too."""

    def rebuilt(row: Row) -> None:
        row["artifact"]["digest"] = "feedc0de"

    for day in range(12):
        of = [measured(outcomes.case(), (5.0 if day < 6 else 9.0) * (1 + 0.003 * (day % 3)))]
        write(tmp_path / "results", run(day), of, rebuilt if day >= 6 else None)
    site(tmp_path / "results", tmp_path / "site")
    assert "artifact artifact → feedc0de" in pages(tmp_path / "site")["index.html"]
    assert links.case(outcomes.case().id) in pages(tmp_path / "site")
