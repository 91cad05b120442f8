"""harness.gate.timing.phases, timing and judge: from pairs to findings, and from findings to verdicts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from harness.gate import judge
from harness.gate.checks.quality import Quality
from harness.gate.model import CaseVerdict, Finding, GateSettings, Match, Pair, Verdict, whole
from harness.gate.timing import phases
from harness.gate.timing.rounds import CONFIRM, Broken, Measured
from harness.records import Refusal, Status
from tests import pairs

SETTINGS = GateSettings()
NAME = "digits_cnn/fp32/cpu-t1-b1"


def judged(*measured: Pair, settings: GateSettings = SETTINGS, **changes: Any) -> CaseVerdict:
    """The verdict of one case with these pairs; `changes` are of what was measured."""
    fresh = any(one.phase == CONFIRM for one in measured)
    done = Measured(**{"pairs": {NAME: list(measured)}, "flagged": (NAME,) if fresh else (), **changes})
    family = phases.confirmed(done, settings)
    return judge.judged(pairs.match(), done, family, settings, exact=(), quality=Quality())


def of(found: CaseVerdict, metric: str) -> Finding:
    """Its finding of a metric."""
    return next(one for one in found.findings if one.metric == metric)


def test_quiet_case_passes() -> None:
    """Eight pairs about one pass, with the interval and what would have been seen."""
    found = judged(*pairs.many(8))
    assert Verdict.PASS is found.verdict
    latency = of(found, "latency")
    assert latency.sentence.startswith("within the allowed 1%: ")
    assert latency.low is not None
    assert latency.low < 1
    assert latency.detectable is not None
    assert latency.detectable < 0.05
    assert (8, "seconds") == (latency.n, latency.unit)
    assert pytest.approx(1e-3, rel=1e-2) == latency.base


def test_confirmed_slow_down_is_a_regression() -> None:
    """The estimate and its interval come from the fresh pairs alone."""
    found = judged(*pairs.many(8, 1.20), *pairs.many(20, 1.05, CONFIRM))
    assert Verdict.REGRESSION is found.verdict
    latency = of(found, "latency")
    assert pytest.approx(1.05, abs=0.002) == latency.ratio
    assert 20 == latency.n
    assert latency.sentence.startswith("5.0% slower (95% interval ")
    assert latency.p is not None
    assert latency.p <= 0.025


def test_confirmed_gain_is_an_improvement() -> None:
    """Faster on the fresh pairs as well."""
    found = judged(*pairs.many(8, 0.9), *pairs.many(20, 0.9, CONFIRM))
    assert Verdict.IMPROVEMENT is found.verdict


def test_slow_down_within_the_margin_passes() -> None:
    """With --max-slowdown 3% a true 2% is allowed, and 5% is not."""
    margin = GateSettings(max_slowdown=0.03)
    assert Verdict.PASS is judged(*pairs.many(8, 1.02), settings=margin).verdict
    slow = (*pairs.many(8, 1.05), *pairs.many(20, 1.05, CONFIRM))
    assert Verdict.REGRESSION is judged(*slow, settings=margin).verdict


def test_wide_spread_is_inconclusive() -> None:
    """Where the spread would have hidden the effect, nobody says pass; the case says what would help."""
    found = judged(*pairs.many(24, noise=200))
    assert Verdict.INCONCLUSIVE is found.verdict
    assert "--pairs" in found.reason
    assert "was asked for" in found.reason


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_cut_short_while_screening(count: int) -> None:
    """Too few pairs are inconclusive and name what stopped them, also where there are none."""
    found = judged(*pairs.many(count), interrupted="Ctrl-C")
    assert Verdict.INCONCLUSIVE is found.verdict
    assert "stopped by Ctrl-C" in found.reason
    assert found.reason.endswith("let it run to its end")
    assert all(one.low is None or math.isfinite(one.low) for one in found.findings)


def test_cut_short_before_confirming() -> None:
    """A flagged case without its fresh pairs is neither a regression nor a pass."""
    found = judged(*pairs.many(8, 1.05), interrupted="time limit")
    assert Verdict.INCONCLUSIVE is found.verdict
    assert found.reason.endswith("give it more time (--time-limit), or fewer cases (--models)")


def test_ctrl_c_says_what_it_came_before() -> None:
    """Whoever stopped it reads that nothing was confirmed, and not that the change is unclear by nature."""
    assert "stopped before confirmation by Ctrl-C" in judged(*pairs.many(8, 1.05), interrupted="Ctrl-C").reason
    some = judged(*pairs.many(8, 1.3), *pairs.many(10, 1.3, CONFIRM), interrupted="Ctrl-C")
    assert "stopped during confirmation by Ctrl-C" in some.reason


@pytest.mark.parametrize(("why", "verdict"), [("time limit", Verdict.REGRESSION), ("Ctrl-C", Verdict.INCONCLUSIVE)])
def test_cut_short_while_confirming(why: str, verdict: Verdict) -> None:
    """What is significant when the time is over stands, since the clock did not look; a person might have."""
    found = judged(*pairs.many(8, 1.3), *pairs.many(15, 1.3, CONFIRM), interrupted=why)
    assert verdict is found.verdict


def test_screened_case_stands_when_others_are_cut_short() -> None:
    """A case that was screened to its end and looked the same passes, whatever stopped the others."""
    assert Verdict.PASS is judged(*pairs.many(8), interrupted="Ctrl-C").verdict


@pytest.mark.parametrize(
    ("metric", "ratios"),
    [("first_inference", {"first": 2.0}), ("session_creation", {"session": 2.0}), ("model_memory", {"memory": 1.2})],
)
def test_start_up_and_memory_count(metric: str, ratios: Any) -> None:
    """Growth far past their margins is flagged, confirmed and fails, though latency stayed."""
    screening = pairs.many(8, **ratios)
    assert phases.chooser(SETTINGS).flag(screening)
    found = judged(*screening, *pairs.many(20, phase=CONFIRM, **ratios))
    assert Verdict.REGRESSION is found.verdict
    assert Verdict.REGRESSION is of(found, metric).verdict
    assert Verdict.PASS is of(found, "latency").verdict


def test_start_up_within_its_margin() -> None:
    """A first inference that takes a fifth longer flags nothing: it differs that much by itself."""
    screening = pairs.many(8, first=1.2, session=1.2, memory=1.03)
    assert not phases.chooser(SETTINGS).flag(screening)
    assert Verdict.PASS is judged(*screening).verdict


def test_peak_memory_is_shown_and_not_judged() -> None:
    """It grew by half, which flags nothing and fails nothing: most of it is not the model's."""
    screening = pairs.many(8, peak=1.5)
    assert not phases.chooser(SETTINGS).flag(screening)
    found = judged(*screening)
    assert Verdict.PASS is found.verdict
    shown = of(found, "peak_memory")
    assert Verdict.PASS is shown.verdict
    assert shown.sentence.startswith("peak memory +50")
    assert shown.sentence.endswith("for information")


def test_start_up_that_nobody_could_have_seen_does_not_pass() -> None:
    """Start-up at a spread of 30%: open, with what would have been seen; the gate stays a pass unless asked."""
    wide = (0.8, -0.7, 0.65, -0.6, 0.9, -0.85, 0.5, -0.45)
    screening = [pairs.pair(pairs.wobble(i, 1.0), session=math.exp(one)) for i, one in enumerate(wide)]
    assert not phases.chooser(SETTINGS).flag(screening)
    found = judged(*screening)
    one = of(found, "session_creation")
    assert Verdict.INCONCLUSIVE is one.verdict
    assert one.detectable is not None
    assert one.detectable > 0.5625
    assert "would have been seen" in one.sentence
    assert Verdict.PASS is found.verdict
    asked = dataclasses.replace(SETTINGS, metrics=("latency", "session_creation"))
    assert Verdict.INCONCLUSIVE is whole(found.findings, asked)
    assert Verdict.PASS is whole(found.findings, dataclasses.replace(SETTINGS, metrics=("latency",)))


def test_one_family_for_all() -> None:
    """What is confirmed together pays for it together, of whichever metric."""
    alone = Measured(pairs={"a": pairs.many(8, 1.05) + pairs.many(20, 1.05, CONFIRM)})
    ratios: Any = {"first": 2.0, "session": 2.0}
    together = Measured(pairs={"a": pairs.many(8, 1.05, **ratios) + pairs.many(20, 1.05, CONFIRM, **ratios)})
    key = ("a", "latency")
    first, second = (phases.confirmed(done, SETTINGS) for done in (alone, together))
    assert {key} == set(first)
    assert {key, ("a", "first_inference"), ("a", "session_creation")} == set(second)
    assert pytest.approx(3 * first[key].adjusted) == second[key].adjusted


def test_missing_memory_is_left_out() -> None:
    """Where the system tells no memory there is no finding of it."""
    blind = [
        dataclasses.replace(
            one,
            base=dataclasses.replace(one.base, peak_rss_bytes=None, model_bytes=None),
            head=dataclasses.replace(one.head, peak_rss_bytes=None, model_bytes=None),
        )
        for one in pairs.many(8)
    ]
    assert {"latency", "first_inference", "session_creation"} == {one.metric for one in judged(*blind).findings}


# --- verdicts that need no pairs -----------------------------------------------------------------

SIDES = {"base": pairs.side("base"), "head": pairs.side("head")}
FAILED = Refusal(status=Status.FAILED, reason="export broke")
UNSUPPORTED = Refusal(status=Status.UNSUPPORTED, reason="no CUDA here")


def with_built(base: Any, head: Any) -> Match:
    """A match of these builds."""
    return pairs.match(base=pairs.contender("base", base), head=pairs.contender("head", head))


@pytest.mark.parametrize(
    ("base", "head", "verdict", "said"),
    [
        (FAILED, None, Verdict.FAILED, "base (main) failed: export broke"),
        (None, FAILED, Verdict.FAILED, "head (working tree) failed: export broke"),
        (UNSUPPORTED, UNSUPPORTED, Verdict.NOT_COMPARABLE, "unsupported on both sides: no CUDA here"),
        (UNSUPPORTED, None, Verdict.NOT_COMPARABLE, "unsupported on base (main): no CUDA here"),
        (None, UNSUPPORTED, Verdict.FAILED, "head (working tree) failed: no CUDA here"),
    ],
)
def test_builds_that_failed(base: Any, head: Any, verdict: Verdict, said: str) -> None:
    """What base had and head lost has failed; what neither can do is nothing to compare."""
    found = judge.without_measuring(with_built(base, head), SIDES)
    assert found is not None
    assert (verdict, said) == (found.verdict, found.reason)


def test_missing_side() -> None:
    """A case of one zoo alone is not comparable and says whose it is."""
    found = judge.without_measuring(pairs.match(base=None), SIDES)
    assert found is not None
    assert Verdict.NOT_COMPARABLE is found.verdict
    assert "only the head has it" in found.reason


def test_sides_that_differ() -> None:
    """The field that differs is named."""
    found = judge.without_measuring(pairs.match(differs=("weights: base a, head b",)), SIDES)
    assert found is not None
    assert Verdict.NOT_COMPARABLE is found.verdict
    assert "weights: base a, head b" in found.reason


def test_comparable_match_has_to_be_measured() -> None:
    """Two artifacts of the same weights and data have to be measured."""
    assert judge.without_measuring(pairs.match(), SIDES) is None


def test_same_match_passes_unmeasured() -> None:
    """What cannot differ passes without a pair, and the report says why it was not measured."""
    done = Measured(pairs={})
    found = judge.judged(pairs.match(same="one file"), done, {}, SETTINGS, exact=(), quality=Quality())
    assert (Verdict.PASS, ("not measured: one file",)) == (found.verdict, found.notes)


@pytest.mark.parametrize(
    ("unsupported", "verdict"),
    [((), Verdict.FAILED), (("head",), Verdict.FAILED), (("base", "head"), Verdict.NOT_COMPARABLE)],
)
def test_broken_while_measuring(unsupported: tuple[str, ...], verdict: Verdict) -> None:
    """A crash fails the case; what neither side supports does not; what needed no pairs stays with a failure."""
    done = Measured(pairs={NAME: pairs.many(3)}, broken={NAME: Broken(reason="head: it died", unsupported=unsupported)})
    exact = (Finding(metric="size", verdict=Verdict.PASS, sentence="as before"),)
    found = judge.judged(pairs.match(), done, {}, SETTINGS, exact=exact, quality=Quality())
    assert (verdict, exact if verdict is Verdict.FAILED else ()) == (found.verdict, found.findings)
    assert "head: it died" in found.reason


def test_exact_findings_count() -> None:
    """A regression of size or structure is one of the case, whatever its latency does."""
    done = Measured(pairs={NAME: pairs.many(8)})
    exact = (Finding(metric="size", verdict=Verdict.REGRESSION, sentence="grew"),)
    found = judge.judged(pairs.match(), done, {}, SETTINGS, exact=exact, quality=Quality())
    assert Verdict.REGRESSION is found.verdict
