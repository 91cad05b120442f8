"""harness.measure.pacing: histories are played to it, and it decides."""

from __future__ import annotations

from collections.abc import Callable

from harness.measure.pacing import Pace, Paced, pace

MS = 1_000_000


def play(plan: Pace, duration: Callable[[int], int], first: int | None = None) -> tuple[Paced, list[int]]:
    """Run the machine on a world whose i-th inference takes duration(i); what was kept, and the burst sizes."""
    bursts = pace(plan, first if first is not None else duration(0))
    sizes: list[int] = []
    done = 1
    n = next(bursts)
    while True:
        sizes.append(n)
        burst = [duration(done + i) for i in range(n)]
        done += n
        try:
            n = bursts.send(burst)
        except StopIteration as stop:
            result: Paced = stop.value
            return result, sizes


def test_a_steady_world_is_precise_long_before_the_budget() -> None:
    """Constant 10 ms: three windows of warm-up, then half a second of samples."""
    found, _ = play(Pace(budget_s=10, ci_width=0.02), lambda i: 10 * MS)
    assert found.steady
    assert "precise" == found.stop
    assert 30 == len(found.warmup_ns)
    assert 50 == len(found.samples_ns)


def test_warm_up_goes_on_while_it_gets_faster() -> None:
    """A world that speeds up for the first second: none of that second is among the samples."""
    found, _ = play(Pace(budget_s=10, ci_width=0.02), lambda i: (30 - min(i, 60) // 3) * MS)
    assert found.steady
    assert 10 * MS == max(found.samples_ns)


def test_a_world_that_never_settles_stops_warming_up_and_says_so() -> None:
    """Every window differs by a fifth: after 40% of the budget sampling starts, flagged."""
    found, _ = play(Pace(budget_s=5, ci_width=0.02), lambda i: (10 + 2 * ((i // 10) % 3)) * MS)
    assert not found.steady
    assert 2.0 <= sum(found.warmup_ns) / 1e9 <= 2.5
    assert found.samples_ns


def test_noise_stops_at_the_budget() -> None:
    """Alternating 10 and 20 ms never gives a narrow median interval: the budget ends it."""
    found, _ = play(Pace(budget_s=2, ci_width=0.001, agreement=1.0), lambda i: (10 + 10 * (i % 2)) * MS)
    assert "time" == found.stop
    spent = (sum(found.warmup_ns) + sum(found.samples_ns)) / 1e9
    assert 1.9 <= spent <= 2.3


def test_an_inference_longer_than_the_budget_still_gives_samples() -> None:
    """One inference takes 4 s, the budget is 3 s: one warm-up run and the fewest samples allowed."""
    found, sizes = play(Pace(budget_s=3, ci_width=0.02), lambda i: 4000 * MS)
    assert 3 == len(found.samples_ns)
    assert {1} == set(sizes)


def test_bursts_of_tiny_models_stay_short_and_samples_bounded() -> None:
    """At 1 us an inference, bursts and samples stop at their bounds."""
    found, sizes = play(Pace(budget_s=3, ci_width=0.0), lambda i: 1000 + i % 2)
    assert 2000 == max(sizes)
    assert 20_000 == len(found.samples_ns)
    assert "count" == found.stop


def test_a_clock_without_resolution_does_not_divide_by_zero() -> None:
    """Durations of zero are possible with a coarse clock."""
    found, _ = play(Pace(budget_s=0.5, ci_width=0.02, most_samples=100), lambda i: 0, first=0)
    assert "count" == found.stop


def test_a_small_budget_can_still_become_steady() -> None:
    """The least warm-up shrinks with the budget; else every short measurement would be flagged."""
    found, _ = play(Pace(budget_s=0.4, ci_width=0.02), lambda i: MS)
    assert found.steady
