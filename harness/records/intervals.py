"""Which interval of a stored latency answers which question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def within_run(latency: Mapping[str, Any]) -> tuple[Any, Any]:
    """Both ends of a stored latency's interval under the conditions of its run, which cases of one run are compared by.

    None, None where it has none.
    """
    if latency.get("run95_low_s") is not None:
        return latency["run95_low_s"], latency["run95_high_s"]
    return latency.get("ci95_low_s"), latency.get("ci95_high_s")
