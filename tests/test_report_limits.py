"""What a site leaves out of a large store, and how it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report import limits, links
from harness.report.data import load
from tests.outcomes import case
from tests.report_stores import measured, run, site, write


def stored(results: Path) -> Path:
    """Three models of two variants; the second model was measured last."""
    for day, models in enumerate((("a", "b", "c"), ("b",))):
        cases = [case(model, variant) for model in models for variant in ("fp32", "fp16")]
        write(results, run(day), [measured(one, 1.0) for one in cases])
    return results


def test_newest_models_first(tmp_path: Path) -> None:
    """Whole models stay, the one that was measured last first, with all their runs; the rest is said."""
    data = load(stored(tmp_path), most_cases=3)
    assert ["a", "b", "b"] == sorted(row["model"] for row in data.latest)
    assert 3 == data.rows["case"].nunique() == len(data.cases)
    assert 2 == len(data.rows[data.rows["case"] == "b/fp32/cpu-t1-b1"])
    assert data.problems[0].startswith("3 of 6 cases, of a, c: a site holds 3, those of the models")


def test_nothing_is_said_where_all_is_shown(tmp_path: Path) -> None:
    """A store that is small enough is shown whole."""
    data = load(stored(tmp_path), most_cases=6)
    assert () == data.problems
    assert 6 == len(data.cases)


def test_chosen_models(tmp_path: Path) -> None:
    """A site about some models has no other, and runs without them are gone; an unknown model is an error."""
    data = load(stored(tmp_path), models=("[ac]",))
    assert ["a", "c"] == list(data.rows["model"].cat.categories)
    assert 1 == len(data.runs)
    with pytest.raises(UsageError, match="--models d: nothing of such a model"):
        load(tmp_path, models=("d",))


def test_the_pages_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page and the console name what was left out, and no page of it is made."""
    monkeypatch.setattr(limits, "MOST_CASES", 2)
    built = site(stored(tmp_path / "results"), tmp_path / "site")
    said = "4 of 6 cases, of a, c: a site holds 2"
    assert said in built.problems[0]
    assert said in built.index.read_text(encoding="utf-8")
    assert [Path(links.model("b")).name] == [path.name for path in (tmp_path / "site" / "models").iterdir()]
