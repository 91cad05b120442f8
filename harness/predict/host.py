"""A host as a prediction knows it: how fast it computes, moves and sends. Read from a file, or measured here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from harness import bounds, foreign, units
from harness.errors import UsageError
from harness.providers import SHORT, full_name
from harness.suggest import suggest

FORMAT: Final = 1
TYPES: Final = ("float32", "float16", "bfloat16", "float64", "int8", "int4")
LARGEST: Final = 1_000_000
CPU: Final = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLink:
    """What connects two devices.

    Attributes:
        bandwidth: bytes per second.
        latency_s: of one message.
    """

    bandwidth: float
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """What a roofline needs to know of a host.

    Attributes:
        flops: type -> multiplications and additions per second of one core, at best.
        bandwidth: bytes per second between one core and memory.
        cores: that work on one inference at most.
        launch_s: what starting a node costs.
        layer_s: what starting a node with weights costs, such as a convolution; as any where nothing is said.
        call_s: what one inference costs beside its nodes.
        bandwidth_all: of all cores together; as of one where nothing is said.
        cache, cache_bandwidth: bytes that stay near a core, and how fast one moves them.
        speedup: number of cores -> how many times as fast as one they compute; their number where nothing is said.
        rates: kind of node and type, such as `conv/float32` -> its own FLOPs per second of one core, or bytes per
            second where its time is that of moving; the peak where nothing is said.
        memory: bytes.
        link: between devices; None where there is only one.
        provider: the execution provider that all this is of.
        fingerprint: of the host that it was measured on; empty in a file that a person wrote.
        measured_by: which runtime measured it; empty likewise.
    """

    name: str
    flops: Mapping[str, float]
    bandwidth: float
    cores: int = 1
    launch_s: float = 1e-6
    layer_s: float | None = None
    call_s: float = 5e-6
    bandwidth_all: float | None = None
    cache: int = 0
    cache_bandwidth: float | None = None
    speedup: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    memory: int | None = None
    link: NetworkLink | None = None
    provider: str = CPU
    fingerprint: str = ""
    measured_by: str = ""

    def faster(self, threads: int) -> float:
        """How many times as fast as one core this many threads compute; 0 threads stand for all cores."""
        used = self.used(threads)
        return self.speedup.get(str(used), float(used))

    def used(self, threads: int) -> int:
        """The cores that threads keep busy."""
        return min(threads or self.cores, self.cores)

    def moves(self, threads: int, working_set: float) -> float:
        """Bytes per second that threads move, of so many bytes."""
        used = self.used(threads)
        if self.cache_bandwidth is not None and working_set <= self.cache * used:
            return self.cache_bandwidth * self.faster(threads)
        return min(self.bandwidth * used, self.bandwidth_all or self.bandwidth)

    def to_json(self) -> dict[str, Any]:
        """As `read` takes it."""
        return {
            "format": FORMAT,
            **{key: value for key, value in asdict(self).items() if value not in (None, "", {}, 0)},
        }


def read(path: Path) -> HostSpec:
    """A host from a file of YAML or JSON.

    Raises:
        UsageError: it cannot be read, or says what no host is; the text names the key.
    """
    try:
        return parsed(_content(path), path.stem)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--host {path}: {why}") from error


def _content(path: Path) -> dict[str, Any]:
    raw = foreign.content(path, LARGEST)
    if raw.lstrip()[:1] == b"{":
        return foreign.mapping(raw)
    import yaml

    try:
        found = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is neither JSON nor YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(found, dict):
        raise ValueError("it holds no mapping; expected keys such as `flops` and `bandwidth`")  # noqa: TRY004
    return found


def parsed(content: Mapping[str, Any], name: str) -> HostSpec:
    """A host from a mapping.

    Raises:
        ValueError: as `read`.
    """
    given = {str(key): value for key, value in content.items() if value is not None}
    if given.pop("format", FORMAT) != FORMAT:
        raise ValueError(f"it has another `format` than {FORMAT}, of a newer harness")
    _check_keys(given)
    made: dict[str, Any] = {key: str(given.get(key) or "") for key in ("fingerprint", "measured_by")}
    made["name"] = str(given.get("name") or name)
    for key in ("flops", "rates", "speedup"):
        made[key] = _table(given, key, TYPES if key == "flops" else None)
    if not made["flops"]:
        raise ValueError(f"flops: is empty; expected a number for each type, of {', '.join(TYPES)}")
    for key in ("bandwidth", "bandwidth_all", "cache_bandwidth", "cache", "memory", "launch_s", "layer_s", "call_s"):
        if key in given:
            made[key] = _number(given[key], key, per_second="bandwidth" in key)
    made |= {key: int(made[key]) for key in ("cache", "memory") if key in made}
    return HostSpec(**made, cores=_cores(given), link=_link(given), provider=_provider(given))


def _check_keys(given: Mapping[str, Any]) -> None:
    for key in given:
        if key not in HostSpec.__dataclass_fields__:
            raise ValueError(f"unknown key {key!r}; {suggest(key, tuple(HostSpec.__dataclass_fields__))}")
    for key, what in (("flops", "FLOP/s by type"), ("bandwidth", "bytes/s")):
        if key not in given:
            raise ValueError(f"missing key {key!r}: one core's {what}")


def _cores(given: Mapping[str, Any]) -> int:
    cores = given.get("cores", 1)
    if not isinstance(cores, int) or isinstance(cores, bool) or not cores or cores not in bounds.THREADS:
        raise ValueError(f"cores: expected a whole number from 1 to {bounds.THREADS.most}, found {cores!r}")
    return cores


def _link(given: Mapping[str, Any]) -> NetworkLink | None:
    link = given.get("link")
    if link is None:
        return None
    if not isinstance(link, Mapping) or "bandwidth" not in link or set(link) - {"bandwidth", "latency_s"}:
        raise ValueError("link: expected {bandwidth: 125MB, latency_s: 0.0001}")
    latency = link.get("latency_s", 0)
    return NetworkLink(
        bandwidth=_number(link["bandwidth"], "link.bandwidth", per_second=True),
        latency_s=0.0 if latency == 0 else _number(latency, "link.latency_s"),
    )


def _provider(given: Mapping[str, Any]) -> str:
    asked = str(given.get("provider", CPU))
    found = full_name(asked)
    if found is None:
        raise ValueError(f"provider: unknown {asked!r}; {suggest(asked, SHORT)}")
    return found


def _table(given: Mapping[str, Any], key: str, names: tuple[str, ...] | None) -> dict[str, float]:
    found = given.get(key) or {}
    if not isinstance(found, Mapping):
        raise ValueError(f"{key}: expected a mapping, found {found!r}")  # noqa: TRY004
    for name in found:
        if names is not None and name not in names:
            raise ValueError(f"{key}: unknown type {name!r}; {suggest(str(name), names)}")
    return {str(name): _number(value, f"{key}.{name}") for name, value in found.items()}


def _number(value: Any, key: str, *, per_second: bool = False) -> float:
    """A number above 0, also as text such as `40e9`, which YAML 1.1 takes for a text, or a size such as `8GB`."""
    found = math.nan
    if isinstance(value, str):
        try:
            found = float(units.parse_zoo_size(value.removesuffix("/s") if per_second else value))
        except ValueError:
            found = units.parse_number(value, "")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    if not 0 < found < math.inf:
        raise ValueError(f"{key}: expected a number above 0, found {value!r}")
    return found


def write(path: Path, host: HostSpec) -> None:
    """Keep a host as a file.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.write_text(json.dumps(host.to_json(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--measure-host {path}: {error.strerror}") from error
