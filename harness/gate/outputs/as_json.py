"""A report as JSON: every pair's numbers, both sides' provenance, the settings and the exit code. No NaN.

Keys: `schema` (1), `kind` (`sides` or `history`), `verdict`, `exit_code`, `headline`, `base` and `head` (a side, null
for a history), `settings`, `fingerprint`, `host`, `started_at`, `wall_s`, `interrupted`, `spread`, `notes`, `hosts` and
`cases`. `hosts` are those of a fleet that measured: `harness.gate.model.MeasuringHost`.
A case has `name`, `verdict`, `sentence`, `reason`, `notes`, `findings` and `pairs`; a finding and a pair have the
fields of `harness.gate.model.Finding` and `Pair`, a pair also `ratio`. A number that is not there is null.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from harness import foreign, shown
from harness.errors import StoreError
from harness.gate.model import CaseVerdict, Finding, GateSettings, MeasuringHost, Pair, Report, Side, Verdict, exit_code
from harness.gate.text import summary
from harness.store.rows import plain

PROVENANCE = ("role", "asked", "kind", "commit", "dirty", "runtime", "versions", "python", "worker")
"""What is written of a side, beside its zoo."""

PLAIN = ("fingerprint", "host", "started_at", "wall_s", "interrupted", "spread")
"""Keys that are the report's own, as they stand."""

LARGEST_LOG = 700.0
"""Beyond it (and for NaN) the exponential is not a finite float."""

SCHEMA = 1
"""Version of the format; raised when a key goes or changes its meaning."""


def render(report: Report, *, fail_on: str = "inconclusive") -> str:
    """The JSON document, indented, with a newline at its end."""
    return shown.json(json.dumps(as_dict(report, fail_on=fail_on), indent=1, allow_nan=False)) + "\n"


def as_dict(report: Report, *, fail_on: str = "inconclusive") -> dict[str, Any]:
    """What `render` writes, as plain values."""
    return {
        "schema": SCHEMA,
        "kind": "history" if summary.in_history(report) else "sides",
        "verdict": summary.overall(report).value,
        "exit_code": exit_code(report, fail_on=fail_on),
        "headline": summary.headline(report),
        "base": _side(report.base),
        "head": _side(report.head),
        "settings": plain(report.settings),
        "fingerprint": report.fingerprint,
        "host": plain(report.host),
        "started_at": report.started_at,
        "wall_s": plain(report.wall_s),
        "interrupted": report.interrupted,
        "spread": plain(report.spread),
        "notes": list(report.notes),
        "hosts": [plain(one) for one in report.hosts],
        "cases": [_case(case) for case in summary.ordered(report.cases)],
    }


def load(path: Path) -> Report:
    """A report that `render` wrote, without its pairs: what accepting a finding needs.

    Raises:
        StoreError: if the file is missing, no JSON, or not of this format.
    """
    try:
        content = foreign.mapping(foreign.content(path))
        if content["schema"] != SCHEMA:
            raise StoreError(
                f"{path} has format {content['schema']}, this harness reads {SCHEMA}: write it again with --json-file."
            )
        settings = GateSettings(**{**content["settings"], "metrics": _several(content["settings"].get("metrics", []))})
        return foreign.checked(
            Report(
                base=_read_side(content["base"]),
                head=_read_side(content["head"]),
                cases=tuple(_read_case(case) for case in content["cases"]),
                settings=foreign.checked(settings),
                **{
                    key: content[key]
                    for key in ("fingerprint", "host", "started_at", "wall_s", "interrupted", "spread")
                },
                notes=_several(content["notes"]),
                hosts=tuple(MeasuringHost(**one) for one in _several(content.get("hosts", []))),
            )
        )
    except OSError as error:
        raise StoreError(
            f"Cannot read {path}: {error.strerror}. Write it with: harness gate --json-file {path}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise StoreError(
            f"{path} is not a report of `harness gate --json-file` ({type(error).__name__}: {error}). Write it again."
        ) from error


def _side(of: Side | None) -> dict[str, Any] | None:
    if of is None:
        return None
    known = {name: plain(getattr(of, name)) for name in PROVENANCE}
    return {"zoo": of.zoo.as_posix(), **known, "notes": list(of.notes)}


def _case(case: CaseVerdict) -> dict[str, Any]:
    return {
        "name": case.name,
        "verdict": case.verdict.value,
        "sentence": summary.sentence(case),
        "reason": case.reason,
        "notes": list(case.notes),
        "findings": [plain(finding) for finding in case.findings],
        "pairs": [_pair(pair) for pair in case.pairs],
    }


def _pair(pair: Pair) -> dict[str, Any]:
    ratio = math.exp(pair.log_ratio) if abs(pair.log_ratio) < LARGEST_LOG else None
    return {**plain(pair), "ratio": ratio}


def _read_side(content: dict[str, Any] | None) -> Side | None:
    if content is None:
        return None
    known = {name: content[name] for name in PROVENANCE}
    return foreign.checked(Side(**{**known, "zoo": Path(content["zoo"]), "worker": _several(content["worker"])}))


def _several(content: Any) -> tuple[Any, ...]:
    """A list as a tuple, and nothing else as one: a text would become its letters."""
    if not isinstance(content, list):
        raise TypeError(f"{type(content).__name__} in place of a list")
    return tuple(content)


def _read_case(content: dict[str, Any]) -> CaseVerdict:
    findings = tuple(
        foreign.checked(
            Finding(
                **{
                    **finding,
                    "verdict": Verdict(finding["verdict"]),
                    "commits": _several(finding["commits"]) if finding["commits"] else None,
                }
            )
        )
        for finding in _several(content["findings"])
    )
    return foreign.checked(
        CaseVerdict(
            name=content["name"],
            verdict=Verdict(content["verdict"]),
            findings=findings,
            reason=content["reason"],
            notes=_several(content["notes"]),
        )
    )
