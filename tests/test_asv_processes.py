"""harness.asv.processes: what asv's own test can tell with so many values, by asv's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from harness.asv import exchange, processes
from tests.integration import asv_projects


def different(count: int, factor: float) -> bool:
    """Whether asv calls two sides of so many processes different, the second slower by a factor."""
    from asv import _stats
    from asv_runner.statistics import compute_stats  # type: ignore[import-untyped]

    base = [1 + 0.001 * place for place in range(count)]
    sides = (base, [value * factor for value in base])
    return bool(_stats.is_different(*sides, *(compute_stats(side, 1)[1] for side in sides)))


def test_six_processes_never_flag() -> None:
    """Ten times as slow is not significant with six, and a tenth is with five and with seven."""
    assert not different(processes.NEVER_FLAGS, 10.0)
    assert [True, False, True, True] == [different(count, 1.1) for count in (5, 6, 7, 8)]


@pytest.mark.parametrize(("count", "reached"), [(6, False), (7, True)])
def test_it_is_the_rank_test_that_cannot_reach_its_threshold(count: int, reached: bool) -> None:
    """The smallest exact two-sided p-value of Mann-Whitney's test, by scipy, against asv's 0.002."""
    smallest = stats.mannwhitneyu(range(count), range(count, 2 * count), method="exact").pvalue
    assert reached == (smallest < 0.002)


class Environment:
    """asv's environment object, as far as it is looked at."""

    def __init__(self, **variables: str) -> None:
        self.env_vars: dict[str, Any] = variables


def test_six_are_warned_of_wherever_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix, the environment, the zoo; what is set goes before the zoo."""
    monkeypatch.chdir(tmp_path)
    for name in (exchange.PROCESSES, exchange.ZOO):
        monkeypatch.delenv(name, raising=False)
    assert "" == processes.warning(Environment())
    text = asv_projects.ZOO + "  a: {source: onnx, id: x.onnx}\n"
    zoo = tmp_path / "model_zoo.yaml"
    zoo.write_text(text, encoding="utf-8")
    assert "" == processes.warning(Environment())
    assert "HARNESS_PROCESSES is 6" in processes.warning(Environment(HARNESS_PROCESSES="6"))
    zoo.write_text(text.replace("processes: 1", "processes: 6"), encoding="utf-8")
    assert "`processes` in model_zoo.yaml is 6" in processes.warning(Environment())
    assert "" == processes.warning(Environment(HARNESS_PROCESSES="7"))
    monkeypatch.setenv(exchange.PROCESSES, "5")
    assert "" == processes.warning(Environment())
