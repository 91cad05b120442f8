"""Declared options: when one is read, when it has an effect, and what cannot be declared."""

from __future__ import annotations

import pytest

from harness.options import Option, by_name


def test_options_without_limits_are_always_read() -> None:
    """Whatever is selected, nothing included."""
    option = Option(name="exclude", type=list, doc="names")
    assert option.fits(None)
    assert option.has_effect("static", {})


def test_options_of_one_choice_are_read_with_it_alone() -> None:
    """`only` names the values of the selecting option."""
    option = Option(name="bits", type=int, only=("weights",), doc="bits per weight")
    assert [True, False, False] == [option.fits(chosen) for chosen in ("weights", "static", None)]


def test_options_beside_another_have_no_effect_alone() -> None:
    """It is read, so that it stays in the digest, and changes nothing until the other has its value."""
    option = Option(name="percentile", type=float, only=("static",), beside=("calibration", "percentile"), doc="share")
    assert option.fits("static")
    assert not option.has_effect("static", {})
    assert not option.has_effect("static", {"calibration": "entropy"})
    assert option.has_effect("static", {"calibration": "percentile"})
    assert not option.has_effect("dynamic", {"calibration": "percentile"})


def test_types_that_no_file_can_give_are_refused() -> None:
    """A declaration that nothing could be checked with fails where it is written."""
    with pytest.raises(TypeError, match=r"option seed: .*complex"):
        Option(name="seed", type=complex, doc="seed of the random numbers")


def test_names_keep_the_declared_order() -> None:
    """Tables and messages list options as their file does."""
    options = tuple(Option(name=name, type=int, doc="a number") for name in ("z", "a", "m"))
    assert ["z", "a", "m"] == list(by_name(options))
