"""What a zoo file amounts to once it is read: frozen, standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness import units
from harness.records import ModelSpec, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWish:
    """Which hosts of a fleet a target is measured on; what is empty is not asked about.

    Attributes:
        arch: as the system calls it, such as `x86_64` or `aarch64`.
        provider: by its short or its full name.
        label: of those that a worker was started with; a glob.
        host_class: the fingerprint that hosts of one class have in common.
    """

    arch: str = ""
    provider: str = ""
    label: str = ""
    host_class: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """Where a zoo's cases are measured if not here.

    Attributes:
        scheduler: the address of Dask's scheduler; empty where there is none.
        tls_ca, tls_cert, tls_key: files in PEM format; all of them or none.
    """

    scheduler: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """One entry of the zoo's `targets`; `harness.flow.plan` makes a `Target` of each of its combinations.

    Attributes:
        provider: the full name.
        threads, batch: its own lists, which win over the defaults; None where it has none.
        inter_threads: used in parallel execution only.
        plugin, device: see `Target`.
        scenarios: as `harness.records.scenario` writes them; None where it has none of its own.
        hosts: of a fleet; it changes nothing where there is none.
        limits: see `Target`.
    """

    name: str
    provider: str
    runtime: str = "onnxruntime"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    session_config: Mapping[str, str] = field(default_factory=dict)
    threads: tuple[int, ...] | None = None
    inter_threads: tuple[int, ...] | None = None
    batch: tuple[int, ...] | None = None
    plugin: str = ""
    device: str = ""
    scenarios: tuple[str, ...] | None = None
    hosts: HostWish = field(default_factory=HostWish)
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def case_name(self) -> str:
        """What its cases call it: its name with its limits, exactly, so that other limits make another series."""
        written = (("cpus", "cpus", ""), ("memory_bytes", "mem", "B"), ("frequency_hz", "max", "Hz"))
        parts = [f"{word}{units.exact(self.limits[key], unit)}" for key, word, unit in written if key in self.limits]
        return ".".join([self.name, *parts])


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a sweep does where the command line says nothing.

    Attributes:
        time_per_case_s: seconds of inference per case, warm-up included, over all of its processes.
        ci_width: sampling stops when the median's 95% interval is at most this share of the median.
        early_stop: a sweep gives no further process to a case that is certainly far slower than the fastest.
    """

    variants: tuple[str, ...]
    targets: tuple[str, ...]
    threads: tuple[int, ...]
    batch: tuple[int, ...]
    processes: int
    time_per_case_s: float
    ci_width: float
    early_stop: bool = True
    scenarios: tuple[str, ...] = ("",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zoo:
    """A zoo file, with everything in it resolved.

    Attributes:
        path: of the file, absolute.
        digest: SHA-256 of the file's bytes, in hexadecimal.
        models: by name, each with its recipes.
        variants: by name, as they are before a model's own options.
        threads: the models that set their own thread counts.
        assumed: whether nobody wrote it: files were named instead, and their numbers belong to no commit.
    """

    path: Path
    digest: str
    models: Mapping[str, ModelSpec]
    variants: Mapping[str, Recipe]
    targets: Mapping[str, TargetSpec]
    defaults: Defaults
    threads: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    assumed: bool = False
    fleet: FleetSpec = field(default_factory=FleetSpec)
