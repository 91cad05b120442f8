"""What is stored, some models at a time: a store of any size is shown in the memory that a small one takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import StoreError
from harness.store import query
from harness.store.rows import Row

MOST: Final = 20_000
"""Stored rows that are read at a time; a model with more of them stands alone."""


@dataclass(slots=True, kw_only=True)
class StoredModels:
    """Stored rows, in parts of whole models.

    Attributes:
        results: the results folder.
        all_runs: every run's rows instead of the newest per case.
        columns: as `query.query` takes them.
        names: (model, variant, target) of every case, each once.
        parts: the models of each part, in the order of their cases.
        problems: files that were left out and why; those that only reading finds come with the part.
        notes: what else a reader has to know: runs from the future.
    """

    results: Path
    all_runs: bool
    columns: tuple[str, ...]
    names: tuple[tuple[str, str, str], ...] = ()
    parts: tuple[tuple[str, ...], ...] = ()
    problems: list[StoreError] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[Row, ...]]:
        """The rows of part after part, ordered as `query.query` does."""
        for models in self.parts:
            found = query.query(self.results, all_runs=self.all_runs, columns=self.columns, models=models)
