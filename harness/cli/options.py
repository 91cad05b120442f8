"""Options that several verbs share, declared once, and the parsers of their values."""

from __future__ import annotations

import contextlib
import math
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import bounds, special_files, units
from harness.bounds import Bound
from harness.errors import UsageError
from harness.suggest import suggest

if TYPE_CHECKING:
    from harness.init.bare import Refinements
    from harness.zoo import FleetSpec

_HALF_URL = re.compile(r"(?:file|s3|gs|gcs|az|abfs|adl|https?|memory):(?!//)|://", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:tcp|tls|ws)://(?:\[[0-9A-Fa-f:.%]+\]|[^\s/:@?#\[\]]+):(?P<port>\d{1,5})", re.ASCII)
"""What was meant to be a URL, and would name a folder here, such as `file:`."""

Zoo = Annotated[Path, typer.Option("--zoo", metavar="FILE", help="The zoo to read.", envvar="HARNESS_ZOO")]


def results_folder(given: Path | str) -> Path:
    """The folder that results are read from and written to: of a URL, its mirror here, with what is new there.

    Raises:
        UsageError: a file stands there, there is no such kind of URL, or what it needs is not installed.
        StoreError: the place cannot be read, or the mirror cannot be written.
    """
    if not _url_in("--results", str(given)):
        folder = Path(given)
        if special_files.circle(folder):
            raise UsageError(f"--results {folder} is a link that leads back to itself: give a folder")
        with contextlib.suppress(OSError, ValueError):  # what cannot be asked is said where it is used
            if not stat.S_ISDIR(folder.stat().st_mode):
                raise UsageError(
                    f"--results {folder} is a file: give the folder that `harness sweep` stores its results in"
                )
        return folder
    from harness.cli import ending
    from harness.store.mirror import Mirror

    mirror = Mirror.of(str(given))
    mirror.refresh(ending.say)
    return mirror.folder


FETCHING = ("harness sweep", "gate", "build", "inspect", "export", "explain", "view", "tune", "predict", "bisect")
"""What takes a URL as its cache."""


def cache_folder(given: Path | str) -> Path:
    """The folder of a verb that builds for this host alone: where HARNESS_CACHE is a URL, the user's own.

    Raises:
        UsageError: a URL was given to this verb.
    """
    if not _url_in("--cache", str(given)):
        return Path(given)
    if str(given) == os.environ.get("HARNESS_CACHE"):
        return cache_root(None)
    raise UsageError(f"--cache {given}: a URL is for {', '.join(FETCHING)}; give a folder")


def _url_in(option: str, given: str) -> bool:
    """Whether the value of an option is a URL.

    Raises:
        UsageError: it was meant to be one, and is none.
    """
    if _HALF_URL.match(given) and not os.path.lexists(given):
        raise UsageError(f"{option} {given}: that is not a URL, such as s3://bucket/folder or file:///folder")
    return "://" in given


Results = Annotated[
    Path,
    typer.Option(
        "--results",
        metavar="DIR|URL",
        help="Where results are stored: a folder, or a URL such as s3://bucket/results.",
        envvar="HARNESS_RESULTS",
        parser=results_folder,
    ),
]
CachePlace = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="DIR|URL",
        help="Where artifacts are cached; of a URL such as s3://bucket/cache, what others built is fetched and what "
        "is built here is kept there, too.",
        envvar="HARNESS_CACHE",
        show_default="the user's cache folder",
    ),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Where artifacts are cached.",
        envvar="HARNESS_CACHE",
        show_default="the user's cache folder",
        parser=cache_folder,
    ),
]


def known_models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the zoo's models that a shell may put in place of an unfinished list; none where there is no zoo."""
    from harness import zoo as zoos
    from harness.errors import HarnessError

    lead, comma, last = incomplete.rpartition(",")
    try:
        models = zoos.load(Path(ctx.params.get("zoo") or os.environ.get("HARNESS_ZOO") or ZOO)).models
    except (HarnessError, OSError):
        return []
    return [f"{lead}{comma}{name}" for name in models if name.startswith(last)]


Models = Annotated[
    str | None,
    typer.Option("--models", "-m", metavar="A,B", help="Models, by name or glob.", autocompletion=known_models),
]
Variants = Annotated[str | None, typer.Option("--variants", metavar="A,B", help="Variants, by name or glob.")]
Targets = Annotated[str | None, typer.Option("--targets", metavar="A,B", help="Targets, by name or glob.")]
Scenarios = Annotated[
    str | None,
    typer.Option(
        "--scenarios", metavar="A,B", help="How requests arrive: single-stream, or such as multi4, offline, server50ms."
    ),
]
StoredTargets = Annotated[
    str | None,
    typer.Option("--targets", metavar="A,B", help="Targets with threads and batch, or globs: cpu-t1-b1, cpu-*."),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="table|csv|json|markdown",
        help="How to print; all but table have standard output to themselves.",
        show_default="table",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Short for --format json.")]

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=DTYPE[AXES]",
        help="Of a file without a zoo: what an input takes, such as 'ids=int64[batch,128]'; may be given again.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="FILE.npz|FOLDER|MODULE:FUNCTION",
        help="Of files without a zoo: examples, a folder (.npz, test_data_set_N, images), or a function of yours.",
        show_default="random numbers",
    ),
]
BudgetText = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="20dB|1%",
        help="Of files without a zoo: what a build may cost; 20ms, 10MB, memory=256MB and 5mJ as well, with commas.",
        show_default="20dB",
    ),
]

Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Measure on the hosts of a fleet: the address of Dask's scheduler, such as tcp://lab:8786.",
        envvar="HARNESS_SCHEDULER",
        show_default="the zoo's `fleet`, or this host",
    ),
]
TlsCa = Annotated[
    Path | None,
    typer.Option("--tls-ca", metavar="FILE", help="The fleet's certificate authority (PEM).", envvar="HARNESS_TLS_CA"),
]
TlsCert = Annotated[
    Path | None,
    typer.Option("--tls-cert", metavar="FILE", help="The certificate to show it (PEM).", envvar="HARNESS_TLS_CERT"),
]
TlsKey = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key (PEM).", envvar="HARNESS_TLS_KEY")
]

ZOO = Path("model_zoo.yaml")
RESULTS = Path("results")


def assumed_zoo(
    files: Sequence[str], refine: Mapping[str, Any], cache: Path, say: Callable[[Sequence[str]], None]
) -> Path:
    """The zoo that is assumed for files.

    Args:
        files: as they were named.
        refine: `--data`, `--input` and `--budget`.
        cache: root of the cache.
        say: takes what was assumed.

    Raises:
        UsageError: a file is missing, or an option does not fit.
    """
    from harness.init import bare

    found = bare.assumed(files, refinements(refine), cache=cache)
    say(found.notes)
    return found.path


def refinements(refine: Mapping[str, Any]) -> Refinements:
    """What is said of files without a zoo."""
    from harness.init.bare import Refinements

    return Refinements(
        inputs=tuple(refine["--input"] or ()),
        data=refine["--data"],
        budget=refine["--budget"],
        labels=refine.get("--labels"),
    )


TABLE, CSV, JSON, MARKDOWN = FORMATS = ("table", "csv", "json", "markdown")


def chosen_format(given: str | None, *, as_json: bool = False) -> str:
    """The format to print in, from `--format` and `--json`.

    Raises:
        UsageError: if there is no such format, or the two contradict each other.
    """
    if given is not None and given not in FORMATS:
        raise UsageError(f"--format {shown(given)}: {suggest(given, FORMATS)}")
    if as_json and given not in (None, JSON):
        raise UsageError(f"--json --format {given}: --json is short for --format json; give one of them")
    return JSON if as_json else given or TABLE


def names(text: str | None) -> tuple[str, ...]:
    """Comma-separated names; none where the option was not given.

    Raises:
        UsageError: if there is no name in it.
    """
    if text is None:
        return ()
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise UsageError(f"{text!r} holds no name; give names or globs separated by commas, such as 'resnet*,minilm'")
    return found


def counts(text: str | None, option: str, bound: Bound) -> tuple[int, ...] | None:
    """Comma-separated whole numbers; None where the option was not given.

    Raises:
        UsageError: if one is not a whole number of the range.
    """
    if text is None:
        return None
    found = [bound.parse(part) for part in text.split(",")]
    if any(math.isnan(one) for one in found):
        raise UsageError(f"{option} {shown(text)}: expected {bound.plural}")
    return tuple(map(int, found))


def scenarios(text: str | None) -> tuple[str, ...] | None:
    """Comma-separated ways in which requests arrive; None where the option was not given.

    Raises:
        UsageError: if one of them is not a scenario.
    """
    if text is None:
        return None
    from harness.records import scenario

    try:
        return tuple(scenario.same(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--scenarios: {error}") from error


def ratio(text: str | None, option: str) -> float | None:
    """A share such as 2% or 0.02; None where the option was not given.

    Raises:
        UsageError: if it is neither, or not between 0 and 1.
    """
    if text is None:
        return None
    value = units.parse_share(text)
    if not 0 < value < 1:
        raise UsageError(f"{option} {shown(text)}: expected a share between 0 and 1, such as 2% or 0.02")
    return value


def margin(text: str | None, option: str, default: float, *, most: float = 1.0) -> float:
    """A share such as 3% or 0.03, or 0 for none; the default where the option was not given.

    Raises:
        UsageError: if it is not one, or not from 0 to below `most`.
    """
    if text is None:
        return default
    value = units.parse_share(text)
    if not 0 <= value < most:
        raise UsageError(f"{option} {shown(text)}: expected a share from 0 to below {most:.0%}, such as 3% or 0.03")
    return value


def decibels(text: str | None, option: str, default: float) -> float:
    """A number of decibels such as 3, 3dB or 0; the default where the option was not given.

    Raises:
        UsageError: if it is not one, or below 0.
    """
    if text is None:
        return default
    value = units.parse_number(text, "dB")
    if value not in bounds.DECIBELS:
        raise UsageError(
            f"{option} {shown(text)}: expected decibels from 0 to {bounds.DECIBELS.most}, such as 3 or 3dB"
        )
    return value


def duration(text: str, option: str, bound: Bound = bounds.TIME_LIMIT) -> float:
    """Seconds, from a duration such as 90, 90s, 10m or 1h.

    Raises:
        UsageError: if it is not one, or outside what the option takes.
    """
    value = units.parse_duration(text)
    if value not in bound:
        most = bound.most // 3600
        raise UsageError(
            f"{option} {shown(text)}: expected a duration above 0 and up to {most}h, such as 90s, 10m or 1h"
        )
    return value


def within(value: float | None, option: str, bound: Bound) -> float | None:
    """A number of a range; None where the option was not given.

    Raises:
        UsageError: if it is not.
    """
    if value is not None and value not in bound:
        raise UsageError(f"{option} {value:g}: expected {bound}")
    return value


def shown(text: str) -> str:
    """What was given, as a message repeats it: the beginning where it is long."""
    return text if len(text) <= bounds.LONGEST else f"{text[: bounds.LONGEST]}..."


def fleet_spec(zoo: Path | None, scheduler: str | None, files: Sequence[Path | None]) -> FleetSpec:
    """Where cases are measured: what was named here, or else what the zoo names.

    Args:
        zoo: the file; None where there is none.
        scheduler: `--scheduler`.
        files: `--tls-ca`, `--tls-cert` and `--tls-key`.

    Raises:
        UsageError: TLS lacks a file, or an address has none of the forms that Dask knows.
        ZooError: the zoo is wrong.
    """
    from dataclasses import replace

    from harness import zoo as zoos
    from harness.paths import typed
    from harness.zoo import FleetSpec

    spec = FleetSpec() if zoo is None else zoos.load(zoo).fleet
    if scheduler is not None:
        spec = replace(spec, scheduler=scheduler)
        if not scheduler.startswith("tls://"):  # a named address wins, and the zoo's certificates are of another one
            spec = replace(spec, tls_ca="", tls_cert="", tls_key="")
    if any(files):
        if not all(files):
            raise UsageError("--tls-ca, --tls-cert and --tls-key go together: TLS needs all three files")
        ca, cert, key = (str(typed(one)) for one in files if one)
        spec = replace(spec, tls_ca=ca, tls_cert=cert, tls_key=key)
    if spec.scheduler and not _is_address_of_dask(spec.scheduler):
        like = f"tcp://{spec.scheduler}"
        raise UsageError(
            f"--scheduler {shown(spec.scheduler)}: expected an address such as "
            f"{shown(like) if _is_address_of_dask(like) else 'tcp://lab:8786, or tls:// with certificates'}"
        )
    if spec.scheduler and spec.tls_ca and not spec.scheduler.startswith("tls://"):
        raise UsageError(
            f"--scheduler {shown(spec.scheduler)}: certificates are given, and nothing would be encrypted at this "
            f"address: name it as tls://{shown(spec.scheduler.partition('://')[2])}, or leave out the certificates"
        )
    if spec.scheduler.startswith("tls://") and not spec.tls_ca:
        raise UsageError(f"--scheduler {shown(spec.scheduler)}: TLS needs --tls-ca, --tls-cert and --tls-key")
    return spec


def _is_address_of_dask(text: str) -> bool:
    """Whether a text is an address as Dask's clients take it, with a port; of others they make tracebacks."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and bounds.PORT.least < int(found["port"]) <= bounds.PORT.most


def cache_and_depot(given: str | None) -> tuple[Path, str]:
    """The cache folder to use, and the URL where hosts of a fleet find entries; empty where none is given."""
    url = given if given is not None and _url_in("--cache", given) else ""
    return cache_root(None if given is None or url else Path(given)), url


def cache_root(given: Path | None) -> Path:
    """The cache folder to use."""
    from harness.build.cache import default_root

    return given or default_root()
