"""harness.cli.markdown: what a sweep recommends, for a pull request or a job's summary."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.cli import markdown
from harness.errors import StoreError
from harness.gate.outputs.delivery import SUMMARY_VARIABLE
from harness.gate.outputs.markdown import LONGEST
from harness.store.rows import to_row
from tests import outcomes

CHOICE = {
    "state": "not told apart",
    "best": "int8",
    "tied": ["int8-entropy"],
    "slower": [],
    "baseline": "fp32-default",
    "ratio": 3.3,
    "low": 3.21,
    "high": 3.38,
    "blocks": 12,
}


def row(variant: str, ms: float, **more: Any) -> dict[str, Any]:
    """A stored row inside its budget."""
    found = to_row(outcomes.run(), outcomes.measured(outcomes.case("net|1", variant), (round(ms * 1e6),) * 3))
    return found | {"budget": {"accuracy_drop": 0.02}, "baseline": "fp32-default"} | more


def test_a_choice_has_both_numbers_and_its_state() -> None:
    """The factor with its interval, from the confirmation; the sweep's own stands with every case."""
    rows = [
        row("fp32-default", 10.0),
        row("int8", 3.0, choice=CHOICE),
        row("int8-entropy", 3.01),
        row("fp32", 21.0, stopped="stopped after 2 of 5 processes: at least 6.9x int8"),
        to_row(outcomes.run(), outcomes.refused(outcomes.case("net|1", "int4"), reason="MatMul <has> no weights")),
    ]
    said = markdown.render(rows)
    (line,) = (line for line in said.splitlines() if "3.30x" in line)
    assert "| int8 |" in line
    assert "3.30x fp32-default (95% 3.21 to 3.38, 12 pairs)" in line
    assert "not told apart from int8-entropy" in line
    assert "3.33x fp32-default" in said
    assert "stopped after 2 of 5 processes: at least 6.9x int8" in said
    assert "MatMul &lt;has&gt; no weights" in said
    assert "net|1" not in said.replace("net\\|1", ""), "a name must not break the table"
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in said.splitlines() if line.startswith("|")}
    assert {len(markdown.SHIP) + 1, len(markdown.CASES) + 1} == widths


def test_what_was_not_confirmed_says_so() -> None:
    """The medians of the sweep alone; an emulated build stays out, and what needs a remark has it."""
    said = markdown.render(
        [row("fp32-default", 10.0), row("int8", 3.0, status="mixed", reason="54% of compute in int8")]
    )
    assert "not confirmed" in said
    assert "- net\\|1/int8/cpu-t1-b1: mixed: 54% of compute in int8" in said


def test_no_budget_and_no_number() -> None:
    """Neither is an error."""
    assert "no budget or no way to judge it" in markdown.render([row("fp32", 1.0, budget={})])
    unknown = row("fp32", 1.0, budget={"fidelity_db": 20.0, "energy_j": 0.005})
    assert "energy, budget 5.00 mJ: cannot be judged" in markdown.render([unknown])
    broken = row(
        "int8",
        1.0,
        budget={"fidelity_db": None, "structure": "report"},
        fidelity={"faults": ["`y` is dead"]},
        accuracy=None,
    )
    assert "no budget or no way to judge it" in markdown.render([row("fp32", 2.0, budget={}), broken])
    broken["budget"] = {"fidelity_db": 20.0}
    assert "no case is inside the budget" in markdown.render([broken])
    assert "No case has a number" in markdown.render([])


def test_a_thousand_cases_fit_and_what_is_left_out_is_counted() -> None:
    """GitHub refuses more than 65,536 characters."""
    one = row("int8", 3.0)
    rows = [one | {"case": f"{one['case']}-{number}", "variant": f"v{number}"} for number in range(700)]
    said = markdown.render(rows)
    assert len(said) <= LONGEST
    assert re.search(r"and \d+ more cases", said)
    models = markdown.render([one | {"model": f"m{number}"} for number in range(700)])
    assert len(models) <= LONGEST
    assert "and 600 more" in models


def test_where_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are replaced, the job's summary is added to, once; standard output gets it where asked for."""
    rows, job = [row("int8", 3.0)], tmp_path / "job.md"
    monkeypatch.delenv(SUMMARY_VARIABLE, raising=False)
    assert "" == markdown.deliver(rows, None)
    assert markdown.deliver(rows, "-").startswith("### Builds to ship")
    monkeypatch.setenv(SUMMARY_VARIABLE, str(job))
    for _ in range(2):
        assert "" == markdown.deliver(rows, str(tmp_path / "own.md"))
    assert 1 == (tmp_path / "own.md").read_text().count("### Builds to ship")
    assert 2 == job.read_text().count("### Builds to ship")
    markdown.deliver(rows, str(job))
    assert 3 == job.read_text().count("### Builds to ship")
    monkeypatch.delenv(SUMMARY_VARIABLE)
    with pytest.raises(StoreError):
        markdown.deliver(rows, str(tmp_path / "own.md" / "under.md"))
