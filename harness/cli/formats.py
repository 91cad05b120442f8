"""What a verb found, in the formats that all of them print: CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness import shown
from harness.cli import options
from harness.cli.sweep import print_json
from harness.layout import TextColumn, TextTable, plain


def emit(
    format_: str, *, value: Any, records: Iterable[Mapping[str, Any]], grids: Sequence[TextTable], empty: str = ""
) -> None:
    """Print in any format but `table`.

    Args:
        format_: `csv`, `json` or `markdown`.
        value: everything, for JSON.
        records: one mapping for each line of the CSV; what is nested becomes columns such as `latency.median_s`.
        grids: tables as people read them, for Markdown.
        empty: what Markdown says where no table has a row.
    """
    if format_ == options.JSON:
        print_json(value)
    elif format_ == options.CSV:
        write_csv(records)
    else:
        sys.stdout.write(markdown(grids) or f"{shown.markdown(empty)}\n")


def emit_facts(format_: str, value: Mapping[str, Any]) -> None:
    """Print what is known of one thing in any format but `table`: CSV and Markdown have a line for each fact."""
    lines = list(flat(value))
    table = TextTable(
        columns=(TextColumn(name="name"), TextColumn(name="value")),
        rows=[(name, "" if one is None else str(one)) for name, one in lines],
    )
    emit(format_, value=value, records=[{"name": name, "value": one} for name, one in lines], grids=[table])


def write_csv(records: Iterable[Mapping[str, Any]]) -> None:
    """Lines of CSV on standard output, with every column that any of the records has."""
    lines = [dict(flat(record)) for record in records]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    if not columns:
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(shown.csv, columns))
    writer.writerows([shown.csv_value(line.get(name)) for name in columns] for line in lines)


def flat(record: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a mapping and of those in it, with names such as `latency.median_s`; lists are JSON."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{within}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{within}{name}", json.dumps(value)
        else:
            yield f"{within}{name}", value


def markdown(grids: Sequence[TextTable]) -> str:
    """Tables in GitHub's Markdown, each under its title; those without rows are left out."""
    parts = []
    for grid in grids:
        if not grid.rows:
            continue
        title = [f"### {shown.markdown(plain(grid.title))}", ""] if plain(grid.title) else []
        heads = [shown.markdown(column.name) for column in grid.columns]
        sides = ["---:" if column.right else "---" for column in grid.columns]
        rows = [[shown.markdown(plain(cell)) for cell in row] for row in grid.rows]
        parts.append("\n".join([*title, *(f"| {' | '.join(line)} |" for line in (heads, sides, *rows)), ""]))
    return "\n".join(parts)
