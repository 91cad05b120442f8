"""harness.gate.bisect.bisection: halving over points that may not build, and where the points come from."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.gate.bisect.bisection import (
    BisectCase,
    Bisected,
    BisectPoint,
    Unusable,
    bisect,
    commits,
    is_release,
    listed,
    releases,
)
from harness.gate.model import Finding, Pair, Verdict
from harness.processes import OutOfTime
from tests import pairs, repos


def points(count: int) -> tuple[BisectPoint, ...]:
    """Points named by their place."""
    return tuple(BisectPoint(asked=str(i), label=f"point {i}") for i in range(count))


class World:
    """Points whose case is slower by `ratio` from `culprit` on; those of `broken` do not build."""

    def __init__(self, culprit: int, ratio: float = 1.3, broken: Sequence[int] = (), same: Sequence[int] = ()) -> None:
        self.culprit, self.ratio, self.broken, self.same_ones = culprit, ratio, set(broken), set(same)
        self.unclear = False
        self.prepared: list[tuple[int, int]] = []
        self.retrained = False

    def prepare(self, base: BisectPoint, head: BisectPoint) -> Two:
        """Two points."""
        places = int(base.asked), int(head.asked)
        self.prepared.append(places)
        for place in places:
            if place in self.broken:
                raise Unusable(f"point {place} does not build")
        return Two(self, *places)

    def run(self, count: int) -> Bisected:
        """Bisect so many points."""
        return bisect(points(count), self.prepare, lambda step: None)


class Two:
    """Two points of a world."""

    def __init__(self, world: World, base: int, head: int) -> None:
        slow = base < world.culprit <= head
        self.ratio = world.ratio if slow else 1.0
        self.retrained, self.unclear = world.retrained, world.unclear
        self.same = "one file" if head in world.same_ones and not slow else ""

    def pairs(self, count: int) -> Sequence[Pair]:
        """Pairs of the true ratio; where nothing is clear, of half the change, with much noise."""
        if self.unclear:
            return pairs.many(count, math.sqrt(1.3), noise=100)
        return pairs.many(count, self.ratio)

    def gate(self) -> Finding:
        """A regression where there is one."""
        verdict = Verdict.REGRESSION if self.ratio > 1 else Verdict.PASS
        return Finding(metric="latency", verdict=verdict, sentence=f"{self.ratio}", ratio=self.ratio)


@pytest.mark.parametrize("culprit", range(1, 12))
def test_finds_every_culprit(culprit: int) -> None:
    """Wherever the change is, it is found, confirmed against its neighbour, in about log2 steps."""
    found = World(culprit).run(12)
    assert found.before is not None
    assert found.after is not None
    assert (str(culprit - 1), str(culprit)) == (found.before.asked, found.after.asked)
    assert found.confirmed
    assert () == found.between
    assert len(found.steps) <= math.ceil(math.log2(12))


@pytest.mark.parametrize(("prepared", "known"), [(1, (0, 11)), (3, (5, 8)), (5, (6, 7))])
def test_what_is_known_when_the_time_is_over(prepared: int, known: tuple[int, int]) -> None:
    """The two points that the change lies between by then; it is not confirmed, and no halving follows."""
    world = World(7)

    def prepare(base: BisectPoint, head: BisectPoint) -> Two:
        if len(world.prepared) == prepared:
            raise OutOfTime
        return world.prepare(base, head)

    found = bisect(points(12), prepare, lambda step: None)
    assert found.before is not None
    assert found.after is not None
    assert (known, True) == ((int(found.before.asked), int(found.after.asked)), found.out_of_time)


def test_other_weights_are_named_at_every_step() -> None:
    """Every commit of a model that is trained again brings its own: the steps say so, and are measured."""
    world = World(7)
    world.retrained = True
    found = world.run(12)
    assert found.after is not None
    assert "7" == found.after.asked
    assert {"the weights differ"} == {step.reason for step in found.steps}


def test_good_end_is_always_the_base_of_a_step() -> None:
    """Steps are set against the good end, so that small steps do not add up unseen; the last pair are neighbours."""
    world = World(7)
    world.run(12)
    assert all(base == 0 for base, _ in world.prepared[:-1])
    assert (6, 7) == world.prepared[-1]


def test_ends_that_do_not_differ() -> None:
    """Where bad is not slower than good nothing is halved."""
    world = World(99)
    found = world.run(12)
    assert found.after is None
    assert not found.confirmed
    assert [(0, 11)] == world.prepared


@pytest.mark.parametrize("broken", [[5], [5, 6], [4, 5, 6, 7, 8]])
def test_points_that_do_not_build_are_stepped_over(broken: list[int]) -> None:
    """Neighbours are tried instead, and the change is found all the same."""
    found = World(10, broken=broken).run(12)
    assert found.after is not None
    assert "10" == found.after.asked
    assert () == found.between
    assert "skipped" in {step.said for step in found.steps}
    assert any("does not build" in step.reason for step in found.steps)


def test_change_among_points_that_do_not_build() -> None:
    """The range that remains is printed, and no one of it is blamed."""
    found = World(5, broken=[4, 5, 6]).run(12)
    assert found.before is not None
    assert found.after is not None
    assert ("3", "7") == (found.before.asked, found.after.asked)
    assert ["4", "5", "6"] == [point.asked for point in found.between]
    assert found.confirmed


def test_end_that_does_not_build() -> None:
    """Without an end there is nothing to bisect."""
    with pytest.raises(Unusable, match="point 11 does not build"):
        World(5, broken=[11]).run(12)


def test_same_artifact_is_fine_without_measuring() -> None:
    """A commit whose artifact is the good one's needs no pairs."""
    found = World(10, same=[5]).run(12)
    assert ("fine", None, "one file") == next(
        (step.said, step.interval, step.reason) for step in found.steps if step.point.asked == "5"
    )


def test_neighbours_are_both_ends() -> None:
    """Two points need no step; the gate between the ends is the answer."""
    world = World(1)
    found = world.run(2)
    assert found.confirmed
    assert [(0, 1)] == world.prepared


def test_too_close_to_call_is_left_out() -> None:
    """A step whose interval holds the middle after all its pairs is skipped, not guessed."""
    world = World(2)
    world.unclear = True
    found = world.run(4)
    assert {"skipped"} == {step.said for step in found.steps}
    assert any("too close to call after 28 pairs" in step.reason for step in found.steps)
    assert 2 == len(found.between)


# --- where points come from ----------------------------------------------------------------------


def test_commits_between(tmp_path: Path) -> None:
    """First-parent commits from good to bad, in order, with their subjects; merged branches are one step."""
    top = repos.repository(tmp_path / "r", {"model_zoo.yaml": "version: 1\n"})
    good = repos.git(top, "rev-parse", "HEAD").strip()
    repos.commit(top, {"a": "1"})
    repos.git(top, "switch", "--quiet", "--create", "side")
    inside = repos.commit(top, {"b": "1"})
    repos.git(top, "switch", "--quiet", "main")
    repos.git(top, "merge", "--quiet", "--no-ff", "--no-edit", "side")
    last = repos.commit(top, {"c": "1"})
    found = commits(good, "HEAD", top / "model_zoo.yaml")
    assert 4 == len(found)
    assert (f"commit:{good}", f"commit:{last}") == (found[0].asked, found[-1].asked)
    assert f"commit:{inside}" not in [point.asked for point in found]
    assert good.startswith(found[0].label.split()[0])


def test_commits_in_the_wrong_order(tmp_path: Path) -> None:
    """A good end that does not come before the bad one is a usage error; so are two equal ends."""
    top = repos.repository(tmp_path / "r", {"model_zoo.yaml": "version: 1\n"})
    repos.commit(top, {"a": "1"})
    with pytest.raises(UsageError, match="does not come before"):
        commits("HEAD", "HEAD~1", top / "model_zoo.yaml")
    with pytest.raises(UsageError, match="are the same"):
        commits("HEAD", "main", top / "model_zoo.yaml")
    with pytest.raises(UsageError, match="not in a git checkout"):
        commits("a", "b", tmp_path / "model_zoo.yaml")


def test_releases_between() -> None:
    """Releases by version, not by text; backwards where the bad one is older; pre-releases stay out by pip's list."""

    def between(good: str, bad: str) -> tuple[BisectPoint, ...]:
        return releases(good, bad, index=lambda package: ["1.24.1", "1.9.0", "1.23.0", "1.22.1", "1.10.0"])

    found = between("1.10.0", "1.23.0")
    assert ["onnxruntime==1.10.0", "onnxruntime==1.22.1", "onnxruntime==1.23.0"] == [point.asked for point in found]
    assert ["onnxruntime 1.23.0", "onnxruntime 1.22.1"] == [p.label for p in between("1.23.0", "1.22.1")]
    assert (
        "onnxruntime-openvino==1.9.0" == between("onnxruntime-openvino==1.9.0", "onnxruntime-openvino==1.10.0")[0].asked
    )
    with pytest.raises(UsageError, match=r"no release 1\.22\.9; available: 1\.9\.0, 1\.10\.0"):
        between("1.22.9", "1.23.0")
    with pytest.raises(UsageError, match="releases of one package"):
        between("1.22.1", "onnxruntime-gpu==1.23.0")


def test_releases_that_are_given() -> None:
    """With --versions nobody asks the index, and the ends need not be named again."""
    found = releases("1.22.1", "1.24.1", ("1.23.0",))
    assert ["1.22.1", "1.23.0", "1.24.1"] == [point.asked.split("==")[1] for point in found]
    with pytest.raises(UsageError, match=r"'1\.x' is not a version"):
        releases("1.22.1", "1.24.1", ("1.x",))


@pytest.mark.parametrize(
    ("out", "code", "expected"),
    [("onnxruntime (1.2.0)\nAvailable versions: 1.2.0, 1.1.0\n", 0, ["1.2.0", "1.1.0"]), ("", 1, None)],
)
def test_index(out: str, code: int, expected: list[str] | None) -> None:
    """What pip lists is read; where it lists nothing, the way on is named."""
    done: Any = subprocess.CompletedProcess([], code, out, "ERROR: no route")

    def pip(*_: object, **__: object) -> Any:
        return done

    if expected is None:
        with pytest.raises(UsageError, match=r"no route.*--versions"):
            listed("onnxruntime", run=pip)
    else:
        assert expected == listed("onnxruntime", run=pip)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.22.1", True),
        ("1.22", True),
        ("onnxruntime==1.2.3", True),
        ("v1.2", False),
        ("main", False),
        ("1a2b3c", False),
    ],
)
def test_what_is_a_release(text: str, expected: bool) -> None:
    """Versions and requirements are releases; anything else is a revision."""
    assert expected == is_release(text)


def test_case_as_a_selection() -> None:
    """A case names exactly one cell; anything else is refused."""
    found = BisectCase(zoo=Path("z"), cache=Path("c"), case="resnet50/fp32/cpu-nospin-t2-b4").selection
    assert (("resnet50",), ("fp32",), ("cpu-nospin",), (2,), (4,)) == (
        found.models,
        found.variants,
        found.targets,
        found.threads,
        found.batch,
    )
    with pytest.raises(UsageError, match="is not a case"):
        _ = BisectCase(zoo=Path("z"), cache=Path("c"), case="resnet50/fp32").selection
