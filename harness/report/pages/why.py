"""Why two measurements of a case differ: what the stored rows say was not the same, the likeliest cause first.

What is named here is a difference, not a proof; where nothing differs, the host's own speed or chance is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.flavours import FLAVOURS, is_flavour
from harness.report import wording
from harness.report.data import StoredRun
from harness.report.figures.base import records
from harness.report.rows import picked
from harness.store.rows import Row, runtime_of

if TYPE_CHECKING:
    import pandas as pd

MOST: Final = 30
"""Cases of a host, the most changed first, whose rows are set against each other."""

OPERATORS: Final = 3
"""Operators that are named where their numbers differ, the most changed first."""

FLOOR: Final = 1.1
"""From this ratio on the floor of the measurement says that the host itself changed its speed."""

STOLEN: Final = 0.02
"""More processor time than this, as a share, taken by other machines on the same hardware."""

HOST: Final[Mapping[str, str]] = {
    "kernel": "kernel",
    "os": "operating system",
    "governor": "frequency governor",
    "cores_usable": "usable cores",
    "cpu_limit": "CPU limit",
    "memory_limit": "memory limit",
    "hypervisor": "hypervisor",
}
"""Facts of a host that may change without making it another one, and what they are called."""

RUNNING: Final = (*FLAVOURS, "numpy", "python")
"""How the names of the packages begin that take part in an inference."""

NOTHING: Final = "same artifact, runtime and host settings: the host's own speed, or chance"

Key = tuple[str, str]
"""Fingerprint of a host, and a case."""


def reasons(moved: pd.DataFrame) -> dict[Key, tuple[str, ...]]:
    """What differs between both rows of each change, for the first `MOST` of each host.

    Args:
        moved: changes of `harness.report.compare.compare`, with `filename`, `run` and both of the side before.
    """
    import pandas as pd

    shown = moved.groupby("fingerprint", observed=True, sort=False).head(MOST)
    if shown.empty:
        return {}
    keys = [
        pd.DataFrame({"case": shown["case"], "run": shown[f"run{side}"], "filename": shown[f"filename{side}"]})
        for side in ("", "_before")
    ]
    rows = {(row["run"], row["case"]): row for row in picked(pd.concat([key.astype(object) for key in keys]))}
    found: dict[Key, tuple[str, ...]] = {}
    for row in records(shown[["fingerprint", "case", "run", "run_before"]]):
        first, last = (rows.get((row[f"run{side}"], row["case"])) for side in ("_before", ""))
        if first is not None and last is not None:
            found[row["fingerprint"], row["case"]] = differences(first, last)
    return found


def common(moved: pd.DataFrame, found: Mapping[Key, Sequence[str]]) -> list[dict[str, Any]]:
    """Each host's reasons for what got slower, what most cases share first.

    Returns:
        `host`, `text`, `count` (slower cases that it goes for) and `of` (slower cases that were looked at).
    """
    lines: list[dict[str, Any]] = []
    slower = records(moved.loc[moved["verdict"] == "slower", ["fingerprint", "case"]])
    for host in dict.fromkeys(row["fingerprint"] for row in slower):
        own = [
            found[host, row["case"]] for row in slower if row["fingerprint"] == host and (host, row["case"]) in found
        ]
        counts: dict[str, int] = {}
        for said in own:
            for text in said or (NOTHING,):
                counts[text] = counts.get(text, 0) + 1
        ranked = sorted(counts.items(), key=lambda pair: -pair[1])
        lines += [{"host": host, "text": text, "count": count, "of": len(own)} for text, count in ranked[:6]]
    return lines


def differences(before: Row, after: Row) -> tuple[str, ...]:
    """What differs between two rows of one case; empty where nothing does that is stored."""
    built = _built(before, after)
    versions = [row["versions"] or {} for row in (before, after)]
    if not built:  # what only makes artifacts cannot have changed the speed of the same one
        versions = [{name: of[name] for name in of if name in RUNNING} for of in versions]
    runtimes = [runtime_of(row).label for row in (before, after)]
    moved = _versions(*versions)
    if runtimes[0] != runtimes[1] and not any(is_flavour(line.partition(" ")[0]) for line in moved):
        # What measured a row need not be among the packages beside the coordinator.
        moved = [f"measured by {runtimes[0]} → {runtimes[1]}", *moved]
    return (
        *moved,
        *built,
        *_placement(before["placement"] or {}, after["placement"] or {}),
        # Other operators explain other kernels; the same ones say that the runtime treats the graph differently.
        *(() if built else _counts("kernels", before["kernels"] or {}, after["kernels"] or {})),
        *_options(before, after),
        *_host(before, after),
        *_pace(before["settings"] or {}, after["settings"] or {}),
    )


def of_runs(before: StoredRun, after: StoredRun) -> tuple[str, ...]:
    """What differs between two runs, whatever the case."""
    return (
        *_versions(before.versions, after.versions),
        *_facts(before.host, after.host),
        *_pace(before.settings, after.settings),
    )


def _versions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Packages of another version: the runtime first."""
    names = sorted({*before, *after}, key=lambda name: (not is_flavour(name), name))
    return [
        f"{name} {before.get(name, 'absent')} → {after.get(name, 'absent')}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _built(before: Row, after: Row) -> list[str]:
    """Another artifact, and in what it differs."""
    old, new = before["artifact"] or {}, after["artifact"] or {}
    if old.get("digest") == new.get("digest"):
        return []
    found = []
    if before["steps"] != after["steps"]:
        found.append(f"recipe: {_recipe(before['steps'], after['steps'])}")
    patterns = _counts("fused", _patterns(before), _patterns(after))
    operators = _counts("operators", before["operators"] or {}, after["operators"] or {})
    size = ""
    if old.get("bytes") and new.get("bytes") and old["bytes"] != new["bytes"]:
        size = f", {wording.number(old['bytes'], 'bytes')} → {wording.number(new['bytes'], 'bytes')}"
    same = "" if found or patterns or operators else ", same recipe and operators"
    short = f"artifact {str(old.get('digest') or 'none')[:8]} → {str(new.get('digest') or 'none')[:8]}{size}{same}"
    return [*found, *patterns, *operators, short]


def _recipe(before: Any, after: Any) -> str:
    names = [" > ".join(str(step.get("kind")) for step in steps or ()) for steps in (before, after)]
    if names[0] != names[1]:
        return f"{names[0]} → {names[1]}"
    changed = [step.get("kind") for step, other in zip(after, before, strict=True) if step != other]
    return "other options of " + ", ".join(str(kind) for kind in changed)


def _patterns(row: Row) -> Mapping[str, Any]:
    return (row["fusion"] or {}).get("patterns") or {}


def _counts(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Numbers by name that differ, the most changed first."""
    names = [name for name in {*before, *after} if (before.get(name) or 0) != (after.get(name) or 0)]
    names.sort(key=lambda name: (-abs((after.get(name) or 0) - (before.get(name) or 0)), name))
    if not names or not (before and after):
        return []
    said = ", ".join(f"{name} {before.get(name) or 0} → {after.get(name) or 0}" for name in names[:OPERATORS])
    return [f"{what}: {said}" + (f" and {len(names) - OPERATORS} more" if len(names) > OPERATORS else "")]


def _placement(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    if not (before and after):
        return []
    return [
        f"placement: {name.removesuffix('ExecutionProvider')} {before.get(name) or 0.0:.0%}"
        f" → {after.get(name) or 0.0:.0%} of the nodes"
        for name in sorted({*before, *after})
        if round(before.get(name) or 0.0, 3) != round(after.get(name) or 0.0, 3)
    ]


def _options(before: Row, after: Row) -> list[str]:
    """How the session was made, and in which arithmetic it ran."""
    found = [f"{before['status']} → {after['status']}"] if before["status"] != after["status"] else []
    found += [
        f"{name} {before[name]} → {after[name]}"
        for name in ("optimization", "precision")
        if before[name] != after[name]
    ]
    for name in ("provider_options", "session_config", "arithmetic"):
        old, new = before[name] or {}, after[name] or {}
        if (old and new) or name != "arithmetic":
            found += [
                f"{name.replace('_', ' ')}: {key} {old.get(key, 'unset')} → {new.get(key, 'unset')}"
                for key in sorted({*old, *new})
                if old.get(key) != new.get(key)
            ]
    return found


def _host(before: Row, after: Row) -> list[str]:
    """The host's own state: facts that may change, its floor, and what other machines took from it."""
    found = _facts(before["host"] or {}, after["host"] or {})
    old, new = ((row["floor_s"] or {}).get(row["target_name"]) for row in (before, after))
    if old and new and not 1 / FLOOR < new / old < FLOOR:
        found.append(f"the host's floor {wording.number(old, 'seconds')} → {wording.number(new, 'seconds')}")
    old, new = ((row["noise"] or {}).get("steal") for row in (before, after))
    if old is not None and new is not None and abs(new - old) > STOLEN:
        found.append(f"processor time taken by other machines {old:.0%} → {new:.0%}")
    return found


def _facts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [
        f"{said} {before[name]} → {after[name]}"
        for name, said in HOST.items()
        if before.get(name) is not None and after.get(name) is not None and before[name] != after[name]
    ]


def _pace(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """How long and how often was measured."""
    return [
        f"{name.replace('_', ' ')} {before[name]} → {after[name]}"
        for name in sorted({*before} & {*after})
        if before[name] != after[name] and name != "ci_width"
    ]
