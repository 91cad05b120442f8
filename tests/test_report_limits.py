"""What a site leaves out of a large store, and how it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report import links
from harness.report.data import load
from harness.store.summaries import ledger, look
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


def test_the_pages_say_it(tmp_path: Path) -> None:
    """The first page and the console name what was left out, and no page of it is made."""
    built = site(stored(tmp_path / "results"), tmp_path / "site", most_cases=2)
    said = "4 of 6 cases, of a, c: a site holds 2"
    assert said in built.problems[0]
    assert said in built.index.read_text(encoding="utf-8")
    assert [Path(links.model("b")).name] == [path.name for path in (tmp_path / "site" / "models").iterdir()]


def test_a_large_store_is_chosen_from_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A case counts for each host that has it; what is shown is the same as where every row is read first."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ledger, "SETTLED_NS", 0)
    results = stored(tmp_path / "results")
    write(results, run(9, fingerprint="f" * 12), [measured(case("c"), 1.0)])
    for most, models in ((4, ()), (1, ()), (3, ("[ab]",)), (9, ())):
        found = []
        for fewest in (1_000_000, 1):
            monkeypatch.setattr(look, "FEWEST_FILES", fewest)
            found.append(load(results, most_cases=most, models=models))
        assert found[0].problems == found[1].problems
        assert found[0].latest == found[1].latest
        assert found[0].more == found[1].more
        assert list(found[0].rows["run"].astype(str)) == list(found[1].rows["run"].astype(str))
        assert list(found[0].rows["case"].cat.categories) == list(found[1].rows["case"].cat.categories)
    assert "3 of 6 cases, of a, b" in load(results, most_cases=4).problems[0]
    with pytest.raises(UsageError, match="--models d: nothing of such a model"):
        load(results, models=("d",), most_cases=9)
