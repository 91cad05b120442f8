"""One look for each variant."""

from __future__ import annotations

from harness.report.palette import KNOWN, marks


def test_known_variants_look_the_same_on_every_site() -> None:
    """What else is stored does not change the shipped variants' colours and symbols."""
    alone, among = marks(["fp16"]), marks(["aaa", "fp16", "mine-2", "mine-10"])
    assert all(alone[name] == among[name] for name in KNOWN)


def test_no_two_variants_look_the_same() -> None:
    """Where colours run out, the symbol differs."""
    found = marks([f"mine-{i}" for i in range(40)])
    assert len(found) == len(set(found.values()))


def test_a_name_of_ones_own_has_no_known_variants_colour() -> None:
    """Two variants in grey are one in a chart of lines, as long as there are other colours."""
    found = marks(["fp32", "int8", "mine", "fp16"])
    assert 4 == len({found[name].colour for name in ("fp32", "int8", "mine", "fp16")})


def test_the_order_of_discovery_does_not_matter() -> None:
    """Own names get their looks by natural order."""
    assert marks(["b", "a"]) == marks(["a", "b"])
    assert list(marks(["v10", "v2"]))[-2:] == ["v2", "v10"]
