"""What is stored, some models at a time: a store of any size is read in the memory that a small one takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.errors import StoreError
from harness.store import database, query
from harness.store.rows import Row
from harness.store.summaries.look import StoreLook, look

MOST: Final = 20_000
"""Rows that are read at a time; a model with more of them stands alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModels:
    """Stored rows, in parts of whole models.

    Attributes:
        results: the results folder.
        columns: stored columns that rows have.
        all_runs: every run's rows instead of the newest per case.
        names: model, variant and target of what is stored, each combination once.
        parts: the models of each part, in the order of their cases.
        problems: files that were left out and why; more of them may be found by reading.
        notes: what else a reader has to know: runs from the future.
        looked: the files that are read.
    """

    results: Path
    columns: tuple[str, ...]
    all_runs: bool
    names: tuple[tuple[str, str, str], ...]
    parts: tuple[tuple[str, ...], ...]
    problems: list[StoreError]
    notes: tuple[str, ...]
    looked: list[StoreLook]

    def rows(self) -> Iterator[tuple[list[Row], list[Row]]]:
        """Part after part, each ordered as `query.query` has it, with what `Query.among` has of its models.

        Raises:
            StoreError: the files come and go faster than they can be read.
        """
        with database.connected() as connection:
            for models in self.parts:
                rows, before = self._read(connection, models)
                yield rows, [*rows, *before]

    def _read(self, connection: Any, models: Sequence[str]) -> tuple[list[Row], list[Row]]:
        for _ in range(query.ATTEMPTS):
            try:
                rows, before, self.looked[0] = query.read(
                    connection, self.looked[0], self.problems, self.columns, all_runs=self.all_runs, models=models
                )
            except FileNotFoundError:  # a run that has finished replaced its parts
                self.looked[:] = [look(connection, self.results, [])]
                continue
            return rows, before
        raise query.changing(self.results)


def stored(results: Path, *, all_runs: bool, columns: Sequence[str], most: int = MOST) -> StoredModels:
    """What is stored, of which no row is read yet.

    Args:
        results: the results folder; one that is missing holds nothing.
        all_runs: every run's rows instead of the newest per case.
        columns: as `query.query` takes them.
        most: rows of several models that are read at a time.

    Raises:
        StoreError: where the folder cannot be listed, or its files come and go faster than they can be read.
    """
    with database.connected() as connection:
        for _ in range(query.ATTEMPTS):
            problems: list[StoreError] = []
            try:
                names, looked = query.names(connection, look(connection, results, problems), problems)
                notes = query.of_the_future(connection, looked, problems)
            except FileNotFoundError:
                continue
            return StoredModels(
                results=results,
                columns=query.read_columns(columns),
                all_runs=all_runs,
                names=tuple((model, variant, target) for model, variant, target, *_ in names),
                parts=tuple(_parts([(model, every if all_runs else last) for model, _, _, every, last in names], most)),
                problems=problems,
                notes=notes,
                looked=[looked],
            )
    raise query.changing(results)


def _parts(names: Sequence[tuple[str, int]], most: int) -> Iterator[tuple[str, ...]]:
    """Models in the order of their cases, as many as have so many rows together."""
    counts: dict[str, int] = {}
    for model, count in names:
        counts[model] = counts.get(model, 0) + count
    part: list[str] = []
    held = 0
    for model in sorted(counts, key=lambda name: query.natural(f"{name}/")):
        if part and held + counts[model] > most:
            yield tuple(part)
            part, held = [], 0
        part.append(model)
        held += counts[model]
    if part:
        yield tuple(part)
