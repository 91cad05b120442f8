"""benchmarks.rules: peers' rules say what the peers themselves say, and recordings are read with care."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.utils import parse_compare_fail
from scipy import stats

from benchmarks import rules

RNG = np.random.default_rng(1)


def bursts(seed: int, n: int, ratio: float = 1.0, spread: float = 0.01) -> list[float]:
    """Bursts of one process around a millisecond."""
    found: list[float] = (1e6 * ratio * np.exp(np.random.default_rng(seed).normal(0, spread, n))).tolist()
    return found


def recording(truth: float, pairs: int = 28, spread: float = 0.01) -> rules.Recording:
    """A case with this true ratio."""
    both = tuple(
        (tuple(bursts(2 * i, 7, 1.0, spread)), tuple(bursts(2 * i + 1, 7, truth, spread))) for i in range(pairs)
    )
    return rules.Recording(case="a", truth=truth, pairs=both)


@pytest.mark.parametrize("ratio", [1.0, 1.04, 1.049, 1.052, 1.2, 0.8])
def test_pytest_benchmark_agrees_with_itself(ratio: float) -> None:
    """Its own check, built from its own option, fails for the same minima."""
    base, head = [3.0, 2.0, 4.0], [3.0 * ratio, 2.0 * ratio, 9.0]
    check = parse_compare_fail("min:5%")  # type: ignore[no-untyped-call]
    fails = check.fails({"min": min(head)}, {"min": min(base)})
    assert bool(fails) == (rules.pytest_benchmark(base, head, RNG) == rules.SLOWER)


@pytest.mark.parametrize(("ratio", "expected"), [(1.2, "slower"), (0.8, "faster"), (1.05, ""), (1.0, "")])
def test_asv_needs_ten_percent(ratio: float, expected: str) -> None:
    """A certain +5% is below its factor."""
    assert expected == rules.asv(bursts(1, 10), bursts(2, 10, ratio), RNG)


@pytest.mark.parametrize(("ratio", "expected"), [(1.05, "slower"), (0.95, "faster"), (1.0, "")])
def test_google_benchmark_is_the_u_test(ratio: float, expected: str) -> None:
    """Significant differences are named by their means."""
    assert expected == rules.google_benchmark(bursts(3, 9), bursts(4, 9, ratio), RNG)


def test_criterion_ignores_what_is_within_its_noise_threshold() -> None:
    """A certain +0.8% is significant and within 1%; +5% is reported, also as faster."""
    calm = bursts(5, 40, spread=0.002)
    assert stats.ttest_ind(calm, bursts(6, 40, 1.008, 0.002), equal_var=False).pvalue < 1e-6
    assert "" == rules.criterion(calm, bursts(6, 40, 1.008, 0.002), RNG)
    assert "slower" == rules.criterion(calm, bursts(6, 40, 1.05, 0.002), RNG)
    assert "faster" == rules.criterion(calm, bursts(6, 40, 0.95, 0.002), RNG)


def test_criterion_tests_like_a_t_test_on_independent_samples() -> None:
    """Without any threshold of noise in the way, 5% of unchanged comparisons are significant."""
    seen = [rules.criterion(bursts(i, 20, 1, 0.2), bursts(10_000 + i, 20, 1, 0.2), RNG) for i in range(300)]
    assert sum(map(bool, seen)) / len(seen) < 0.1
    assert any(seen)


def test_our_rule_screens_and_confirms_on_different_pairs() -> None:
    """A slower case among unchanged ones is found, and they are not."""
    found = rules.by_us([recording(1.05), recording(1.0), recording(0.95)], np.random.default_rng(2))
    assert ["slower", "", "faster"] == found
    with pytest.raises(ValueError, match="27 pairs, 28 are needed"):
        rules.by_us([recording(1.0, pairs=27)], RNG)


def test_every_rule_is_judged_on_the_same_gates() -> None:
    """The table's figures: alarms per case and gate, detection by true ratio."""
    still, moved = [recording(1.0, spread=0.004)], [recording(1.05, spread=0.004)]
    for gate in rules.judges().values():
        case, whole, power = rules.rates(gate, still, moved, gates=2, seed=1)
        assert 0 <= case <= whole <= 1
        assert [1.05] == list(power)
    assert 1.0 == rules.rates(rules.by_us, still, moved, gates=2, seed=1)[2][1.05]


def test_recordings_are_read(tmp_path: Path) -> None:
    """As `--record` writes them."""
    path = tmp_path / "seen.json"
    path.write_text(json.dumps([{"case": "a", "truth": 1.05, "pairs": [[[1, 2], [3, 4]]]}]))
    assert [rules.Recording(case="a", truth=1.05, pairs=(((1.0, 2.0), (3.0, 4.0)),))] == rules.load(path)


@pytest.mark.parametrize(("burst", "truth"), [(0, 1), (-1, 1), (math.nan, 1), (1, 0), (1, math.nan)])
def test_broken_recordings_are_refused(tmp_path: Path, burst: float, truth: float) -> None:
    """A zero-length burst or a truth that is not a ratio is named with its case."""
    path = tmp_path / "seen.json"
    path.write_text(json.dumps([{"case": "resnet", "truth": truth, "pairs": [[[burst], [1]]]}]))
    with pytest.raises(ValueError, match="resnet: pairs, bursts above zero"):
        rules.load(path)
