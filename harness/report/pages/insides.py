"""What happens inside a model's builds: fusion and placement, as charts with their tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from harness.report import links, palette
from harness.report.figures import inside
from harness.report.parts import Chart, Table, num, text
from harness.store.rows import Row


def fusion(rows: Sequence[Row], at: Sequence[int]) -> list[dict[str, Any]]:
    """For each build with a fuse step: its operators before and after, and the patterns that were found.

    Args:
        rows: of one model.
        at: what the page's filters know each row by.

    Returns:
        `variant`, `digest` (of the artifact, where a variant has several), `total` (nodes before, after), `chart`,
        `patterns` (a table) and `rows` (those of the page that were measured on it).
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row, place in zip(rows, at, strict=True):
        fusion, digest = row["fusion"] or {}, (row["artifact"] or {}).get("digest") or ""
        if not fusion.get("before"):
            continue
        known = found.get((row["variant"], digest))
        if known is None:
            known = found[row["variant"], digest] = _fused(row["variant"], digest, fusion)
        known["rows"].append(place)
    variants = [variant for variant, _ in found]
    for (variant, digest), one in found.items():
        one["digest"] = digest[:8] if variants.count(variant) > 1 else ""
    return sorted(found.values(), key=lambda one: palette.rank(one["variant"]))


def anchor(variant: str, digest: str) -> str:
    """Where the model's page shows the fusion of an artifact."""
    return f"fusion-{links.slug(f'{variant} {digest}')}"


def _fused(variant: str, digest: str, fusion: Mapping[str, Any]) -> dict[str, Any]:
    import pandas as pd

    before, after = fusion["before"], fusion.get("after") or {}
    names = sorted({*before, *after}, key=lambda name: (-abs(after.get(name, 0) - before.get(name, 0)), name))
    lines = [(name, int(before.get(name, 0)), int(after.get(name, 0))) for name in names]
    patterns, seen = fusion.get("patterns") or {}, fusion.get("found") or {}
    return {
        "variant": variant,
        "rows": [],
        "total": (sum(before.values()), sum(after.values())),
        "chart": Chart(
            id=anchor(variant, digest),
            title=f"{variant}: operators before and after fusion",
            figure=inside.fusion(pd.DataFrame(lines, columns=["operator", "before", "after"])),
            table=Table(
                columns=("operator", "before#", "after#", "change#"),
                rows=[
                    [text(name), num(f"{b:,}", b), num(f"{a:,}", a), num(f"{a - b:+,}" if a != b else "0", a - b)]
                    for name, b, a in lines
                ],
                caption=f"Operators of {variant}",
            ),
        ),
        "patterns": Table(
            columns=("pattern", "fused#", "places in the graph#"),
            rows=[
                [text(name), num(str(count), count), num(str(seen.get(name, "-")), seen.get(name))]
                for name, count in patterns.items()
            ],
            caption=f"Fusion patterns of {variant}",
        ),
    }


def placement(rows: Sequence[Row], at: Sequence[int]) -> Chart | None:
    """Where nodes run; None where nothing was placed."""
    import pandas as pd

    lines = [
        {
            "case": row["case"],
            "row": place,
            "provider": provider,
            "share": float(share),
            "time": (row["time_share"] or {}).get(provider),
        }
        for row, place in zip(rows, at, strict=True)
        for provider, share in (row["placement"] or {}).items()
    ]
    if not lines:
        return None
    frame = pd.DataFrame(lines)
    return Chart(
        id="placement",
        title="Where nodes run",
        note="The share of graph nodes that each provider was given, asked of the session that was timed. "
        + _alone({line["provider"] for line in lines}),
        figure=inside.placement(frame),
        table=Table(
            columns=("case", "provider", "nodes#", "kernel time#"),
            rows=[
                [
                    text(line["case"]),
                    text(line["provider"]),
                    num(f"{line['share']:.1%}", line["share"]),
                    num("-" if line["time"] is None else f"{line['time']:.1%}", line["time"]),
                ]
                for line in lines
            ],
            at=[line["row"] for line in lines],
            caption="Node placement",
        ),
    )


def _alone(providers: Collection[str]) -> str:
    """A sentence where there is nothing to compare."""
    return f"All nodes of every case run on {next(iter(providers))}." if len(providers) == 1 else ""
