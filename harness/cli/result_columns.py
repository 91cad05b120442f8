"""The columns of stored rows: for tables, and for `--columns` and `--sort` in every format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from harness import budget, units
from harness.cli import options
from harness.errors import UsageError
from harness.layout import TextCell, TextColumn, TextTable, cell
from harness.metrics import METRICS, reader, stored
from harness.store.columns import COLUMNS, HEAVY
from harness.store.rows import tell_apart
from harness.suggest import suggest

Row = Mapping[str, Any]

STYLES: Final = {
    "measured": "green",
    **dict.fromkeys(("mixed", "unverified", "emulated"), "yellow"),
    **dict.fromkeys(("unsupported", "skipped"), "dim"),
    "failed": "bold red",
}

HASH: Final = 8
"""Digits of a commit."""


@dataclass(frozen=True, kw_only=True)
class Around:
    """What cells of a row need of the rows around it.

    Attributes:
        baselines: that speed-ups refer to.
        choices: what to ship of each model and target.
        excesses: of all rows.
        settings: in which each was measured.
        rows: these rows.
    """

    baselines: budget.Baselines
    choices: Mapping[tuple[str, str], budget.ShipChoice]
    excesses: budget.Excesses
    settings: budget.RowSettings
    rows: Sequence[Row]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Around:
        """What these rows are to each other."""
        known, settings = budget.Excesses(), budget.RowSettings()
        return cls(
            baselines=budget.Baselines(rows, settings),
            choices=budget.choices(rows, known, settings),
            excesses=known,
            settings=settings,
            rows=rows,
        )

    def ships(self, row: Row) -> bool:
        """Whether a row's case is the build to ship of its model and target."""
        choice = self.choices.get((row["model"], row["target"]))
        return choice is not None and choice.best is not None and choice.best["case"] == row["case"]

    def where(self, row: Row) -> str:
        """Host and runtime that measured a row, as far as they tell it from the others."""
        return self._apart(dict(row))

    @cached_property
    def _apart(self) -> Callable[[dict[str, Any]], str]:
        return tell_apart([dict(row) for row in self.rows if row.get("latency")])


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultColumn:
    """One column.

    Attributes:
        name: as `--columns` and `--sort` know it.
        value: what CSV and JSON hold, and rows are sorted by.
        text: what tables show.
        head: what stands above it; `name` where empty.
        stored: the stored column that it is made of alone; empty where it is made of more.
        right, rank, least: as in `harness.layout.TextColumn`; without a rank it is shown only where asked for.
    """

    name: str
    value: Callable[[Row, Around], Any]
    text: Callable[[Row, Around], TextCell | str]
    head: str = ""
    stored: str = ""
    right: bool = True
    rank: int | None = None
    least: int = 0

    @property
    def column(self) -> TextColumn:
        """Its place in a grid."""
        return TextColumn(name=self.head or self.name, right=self.right, rank=self.rank or 0, least=self.least)

    def texts(self, rows: Sequence[Row], around: Around) -> list[TextCell | str]:
        """The cell of every row; most columns of numbers hold nothing in most stores, which is quick to see."""
        if self.stored and all(row.get(self.stored) is None for row in rows):
            return [units.NONE] * len(rows)
        return [self.text(row, around) for row in rows]


def throughput(row: Row) -> float | None:
    """Examples per second: what the scenario found; in single-stream the batch over the median."""
    if each := stored(row, "load.example_s"):
        return 1 / float(each)
    median = (row.get("latency") or {}).get("median_s")
    return (row.get("batch") or 1) / median if median else None


def token_rate(row: Row) -> float | None:
    """Tokens read per second; None where the model reads none, or has no throughput."""
    rate, each = throughput(row), row.get("tokens")
    return rate * each if rate and each else None


def rates(row: Row) -> str:
    """Throughput in examples, and in tokens where a model reads those, such as `12/s, 768 tokens/s`."""
    rate, tokens = throughput(row), token_rate(row)
    if rate is None:
        return units.NONE
    return f"{units.digits(rate)}/s" + (f", {units.digits(tokens)} tokens/s" if tokens else "")


def interval(latency: Row) -> str:
    """The median with its interval, such as `12.3 ms [12.1, 12.6]`."""
    return units.interval(latency.get("median_s"), latency.get("ci95_low_s"), latency.get("ci95_high_s"))


def fidelity(row: Row) -> str:
    """Closeness of the worst part, `exact` for equal outputs, and top-1 agreement where it means something."""
    return units.fidelity(row.get("fidelity"), agreement="top-1")


def accuracy(row: Row) -> str:
    """The task metric and its drop, such as `98.2% (-0.4)`: points against the reference."""
    return units.accuracy(row.get("accuracy"))


def _plain(column: str, **more: Any) -> ResultColumn:
    """A stored text as it is."""
    read = reader(column)
    return ResultColumn(
        name=more.pop("name", column),
        value=lambda row, _: read(row),
        text=lambda row, _: cell(str(read(row) or units.NONE)),
        right=False,
        **more,
    )


def _amount(name: str, column: str, unit: str, **more: Any) -> ResultColumn:
    """A stored number in its unit."""
    read = reader(column)
    return ResultColumn(
        name=name,
        value=lambda row, _: read(row),
        text=lambda row, _: units.value(read(row), unit),
        stored=column.partition(".")[0],
        **more,
    )


def _variant(row: Row, around: Around) -> TextCell:
    return cell(row["variant"], style="bold" if around.ships(row) else "")


def _speedup(row: Row, around: Around) -> str:
    factor = around.baselines.speedup(row) if row.get("latency") else None
    return units.NONE if factor is None else f"{factor:.2f}x"


def _fidelity(row: Row, around: Around) -> TextCell:
    said = fidelity(row)
    over = around.excesses.of(row) if said != units.NONE else ""
    return cell(said, style="red" if over and ("fidelity" in over or budget.faulty(row)) else "")


def _accuracy(row: Row, around: Around) -> TextCell:
    said = accuracy(row)
    over = around.excesses.of(row) if said != units.NONE else ""
    return cell(said, style="red" if over and "drops" in over else "")


def _commit(row: Row) -> str:
    return f"{row['commit'][:HASH]}{' + changes' if row.get('dirty') else ''}" if row.get("commit") else units.NONE


ALL: Final = (
    _plain("case", least=16),
    _plain("model", least=10),
    ResultColumn(
        name="variant", value=lambda row, _: row["variant"], text=_variant, right=False, rank=0, least=8
    ),
    _plain("target", rank=0, least=8),
    ResultColumn(
        name="p50",
        head="p50 [95% interval]",
        value=lambda row, _: stored(row, "latency.median_s"),
        text=lambda row, _: interval(row.get("latency") or {}),
        rank=0,
    ),
    _amount("p90", "latency.p90_s", "s", head="p90 ≤", rank=7),
    ResultColumn(
        name="speed-up",
        value=lambda row, around: around.baselines.speedup(row) if row.get("latency") else None,
        text=_speedup,
        rank=1,
    ),
    ResultColumn(
        name="ship",
        value=lambda row, around: around.ships(row),
        text=lambda row, around: "yes" if around.ships(row) else units.NONE,
        right=False,
    ),
    ResultColumn(
        name="throughput",
        value=lambda row, _: throughput(row),
        text=lambda row, _: rates(row),
        rank=6,
    ),
    ResultColumn(
        name="tokens/s",
        value=lambda row, _: token_rate(row),
        text=lambda row, _: units.NONE if token_rate(row) is None else units.digits(token_rate(row) or 0.0),
    ),
    ResultColumn(
        name="fidelity", value=lambda row, _: stored(row, "fidelity.centred_sqnr_db"), text=_fidelity, rank=3
    ),
    ResultColumn(name="accuracy", value=lambda row, _: stored(row, "accuracy.value"), text=_accuracy, rank=2),
    _amount("size", "artifact.bytes", "bytes", rank=4),
    *(
        _amount(metric.short, metric.column, metric.unit, rank=5)
        for metric in METRICS
        if metric.short
    ),
    ResultColumn(
        name="status",
        value=lambda row, _: row["status"],
        text=lambda row, _: cell(row["status"], style=STYLES[row["status"]]),
        right=False,
        rank=3,
    ),
    _amount("processes", "latency.processes", "count", rank=10),
    ResultColumn(
        name="date",
        value=lambda row, _: row.get("run_started_at"),
        text=lambda row, _: cell(str(row.get("run_started_at") or units.NONE)[:16].replace("T", " ")),
        right=False,
        rank=8,
    ),
    _plain("run", rank=11),
    ResultColumn(
        name="commit", value=lambda row, _: row.get("commit"), text=lambda row, _: cell(_commit(row)), right=False
    ),
    _plain("fingerprint", name="host"),
    _plain("runtime"),
    _plain("provider"),
    _plain("reason", least=20),
    _amount("n", "latency.n", "count"),
    ResultColumn(
        name="measured on",
        value=lambda row, around: around.where(row),
        text=lambda row, around: cell(around.where(row)),
        right=False,
    ),
)  # fmt: skip
BY_NAME: Final = {column.name: column for column in ALL}
USUAL: Final = tuple(column for column in ALL if column.rank is not None)
"""What tables show where nobody chose columns, as far as there is room."""


def named(text: str | None, option: str = "--columns") -> tuple[ResultColumn, ...]:
    """The columns of a list such as `case,p50,latency.mean_s`: those above, and whatever is stored.

    Raises:
        UsageError: if there is no such column, or one is given twice.
    """
    names = options.names(text)
    found = tuple(_named(name, option) for name in names)
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise UsageError(f"{option} {options.shown(text or '')}: {twice[0]} stands there twice")
    return found


def _named(name: str, option: str) -> ResultColumn:
    if name in BY_NAME:
        return BY_NAME[name]
    first, _, rest = name.partition(".")
    kind = COLUMNS.get(first) if first not in HEAVY else None
    if kind is not None and (not rest or not isinstance(kind, dict) or rest in kind):
        return ResultColumn(
            name=name,
            value=lambda row, _: _stored_or_none(row, name),
            text=lambda row, _: cell(_written(_stored_or_none(row, name))),
            right=kind in (int, float) or (isinstance(kind, dict) and bool(rest)),
        )
    nested = [f"{key}.{inner}" for key, kind in COLUMNS.items() if isinstance(kind, dict) for inner in kind]
    also = [*nested, *(key for key in COLUMNS if key not in HEAVY)]
    raise UsageError(f"{option}: no column {options.shown(name)!r}; {suggest(name, BY_NAME, also=also)}")


def _stored_or_none(row: Row, column: str) -> Any:
    try:
        return stored(row, column)
    except AttributeError:  # a part of the way holds text or a number
        return None


def _written(value: Any) -> str:
    return units.NONE if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def one_value(name: str, option: str) -> None:
    """Refuse a stored column that holds several values, where one is needed.

    Raises:
        UsageError: naming its parts.
    """
    kind = COLUMNS.get(name) if name not in BY_NAME else None
    if isinstance(kind, dict):
        parts = ", ".join(f"{name}.{part}" for part in kind)
        raise UsageError(f"{option} {name}: that holds several values; choose one of {parts}")


def ordered(rows: Sequence[dict[str, Any]], sort: str | None, *, among: Sequence[Row] = ()) -> list[dict[str, Any]]:
    """Rows by a column, `-` before its name for the largest first; what has no value stands last.

    Args:
        rows: what is ordered.
        sort: the column; None for as they are.
        among: the rows that they are compared with; these where none are given.

    Raises:
        UsageError: if there is no such column, or it holds more than a value.
    """
    if sort is None:
        return list(rows)
    name = sort.removeprefix("-")
    column, around = _named(name, "--sort"), Around.of(among or rows)
    one_value(name, "--sort")
    keyed = [(column.value(row, around), row) for row in rows]
    known = [(value, row) for value, row in keyed if value not in (None, "")]
    texts = any(not isinstance(value, int | float) for value, _ in known)
    known.sort(key=lambda pair: str(pair[0]) if texts else pair[0], reverse=sort.startswith("-"))
    return [row for _, row in known] + [row for value, row in keyed if value in (None, "")]


def grid(
    rows: Sequence[Row],
    columns: Sequence[ResultColumn],
    *,
    title: str = "",
    among: Sequence[Row] = (),
    around: Around | None = None,
) -> TextTable:
    """Rows as a table; none is left out.

    Args:
        rows: what is shown.
        columns: which ones.
        title: above it.
        among: the rows that they are compared with; these where none are given.
        around: what is known of those, where that is asked for anyway.
    """
    known = around or Around.of(among or rows)
    return TextTable(
        title=title,
        columns=tuple(column.column for column in columns),
        rows=list(zip(*(column.texts(rows, known) for column in columns), strict=True)),
    )


def records(rows: Sequence[Row], columns: Sequence[ResultColumn], *, among: Sequence[Row] = ()) -> list[dict[str, Any]]:
    """Rows as values, for CSV and JSON; `among` as in `grid`."""
    around = Around.of(among or rows)
    return [{column.name: column.value(row, around) for column in columns} for row in rows]
