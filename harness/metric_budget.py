"""What a model's budget says of single metrics of its task, and whether a stored row keeps it: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedMetric:
    """One metric of a row and its limit.

    Attributes:
        name: the metric's.
        limit: the limit in words, such as `95.00% of the reference's`.
        allowed: by how much it may be worse than the reference; None where the row lacks the metric.
        found: the metric; None where the row lacks it.
    """

    name: str
    limit: str
    allowed: float | None
    found: Row | None

    @property
    def wrong(self) -> str:
        """How it is outside, as measured on these examples; empty where it is inside or unknown."""
        if self.found is None or self.allowed is None or self.found["drop"] <= self.allowed:
            return ""
        return f"{self.name} is worse by {_number(self.found, self.found['drop'])}, budget {self.limit}"

    @property
    def sure(self) -> bool:
        """Whether so many examples say on which side of its limit it is."""
        if self.found is None or self.allowed is None:
            return False
        low, high = self.found.get("drop_low"), self.found.get("drop_high")
        return low is None or high is None or not low <= self.allowed < high

    @property
    def doubt(self) -> str:
        """What is said where that is not sure."""
        if self.found is None or self.allowed is None:
            return self.unknown
        low, high = (_number(self.found, self.found[name]) for name in ("drop_low", "drop_high"))
        said = f"{self.name} is worse by {_number(self.found, self.found['drop'])} (95% {low} to {high})"
        return f"{self.found['n']} examples cannot tell: {said}, budget {self.limit}"

    @property
    def unknown(self) -> str:
        """What is said where the row lacks the metric."""
        return f"{self.name}, budget {self.limit}: cannot be judged, the evaluation gave no such metric"


def limits(row: Row) -> tuple[JudgedMetric, ...]:
    """Every metric that the budget limits, in its order."""
    if not row.get("metric_budgets"):
        return ()
    held = {one["name"]: one for one in row.get("metrics") or () if one.get("drop") is not None}
    found = []
    for name, limit in (row.get("metric_budgets") or {}).items():
        metric = held.get(name)
        for kind in ("drop", "share"):
            value = limit.get(kind)
            if value is None:
                continue
            if kind == "drop":
                words = _number(metric or {"unit": "fraction"}, value)
                allowed = float(value)
            else:
                words, reference = f"{value:.2%} of the reference's", (metric or {}).get("reference") or 0.0
                higher = (metric or {}).get("direction", "higher") == "higher"
                allowed = reference * (1 - value) if higher else reference * (1 / value - 1)
            found.append(
                JudgedMetric(name=name, limit=words, allowed=None if metric is None else allowed, found=metric)
            )
    return tuple(found)


def _number(metric: Row, value: float) -> str:
    return f"{value:.2%}" if metric.get("unit") == "fraction" else f"{value:.4g} {metric.get('unit') or ''}".strip()
