"""What measured a number: the runtime as its worker introduced itself, and the host. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.records.asked import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeInfo:
    """The runtime that really executed an artifact.

    Attributes:
        name: what the worker calls it, such as `onnxruntime`.
        version: of the module that ran, not of what was asked for.
        build: the runtime's own words on how it was built.
        language: of the worker, such as `python`.
        providers: what the build offers.
        package: the distribution that it came from, such as `onnxruntime-gpu`; empty where nobody resolved it.
        digest: tells builds of one version apart; empty for the one that is installed beside harness.
    """

    name: str
    version: str
    build: str = ""
    language: str = "python"
    providers: tuple[str, ...] = ()
    package: str = ""
    digest: str = ""

    @property
    def label(self) -> str:
        """Such as `onnxruntime-gpu 1.31.1`."""
        return f"{self.package or self.name} {self.version}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInfo:
    """The host that measured.

    Attributes:
        fingerprint: digest of its stable fields.
        facts: see `harness.measure.host.facts`.
    """

    fingerprint: str
    facts: Mapping[str, Json] = field(default_factory=dict)
