"""Data inside scripts."""

from __future__ import annotations

import json
import math

from harness.report.parts import num, script_json


def test_nothing_ends_the_script_early() -> None:
    """Tags, comments and line separators are escaped; what nobody would see comes back spelled."""
    value = {"a</script><script>alert(1)</script><!--": "\u2028&\u2029"}
    found = script_json(value)
    assert not set("<>&\u2028\u2029") & set(found)
    assert {"a</script><script>alert(1)</script><!--": "\\u2028&\\u2029"} == json.loads(found)


def test_what_is_not_finite_is_null() -> None:
    """JSON has neither NaN nor infinity."""
    assert '[null,null,{"x":[null,1.5]}]' == script_json([math.nan, math.inf, {"x": (-math.inf, 1.5)}])


def test_absent_numbers_sort_last() -> None:
    """A dash has no value to be sorted by."""
    assert math.inf == num("-", None).sort
    assert 1.5 == num("1.5", 1.5).sort
