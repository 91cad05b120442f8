"""What a kind of step states of itself, what it is run on, and what it has to say. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BuildError
from harness.options import Option
from harness.records import Json, ModelSpec

if TYPE_CHECKING:
    from harness.frameworks.base import Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a step is run on.

    Attributes:
        model: the zoo entry; its inputs may be left to the file.
        loaded: the framework's model, for the first step alone.
        before: the file that the step before wrote; None for the first.
        facts: what the framework said of the network.
        folder: an empty one, in which `model.onnx` is to be written.
    """

    model: ModelSpec
    loaded: Loaded | None
    before: Path | None
    facts: Mapping[str, Json]
    folder: Path

    @property
    def source(self) -> Path:
        """The file to start from.

        Raises:
            BuildError: there is none.
        """
        if self.before is None:
            raise BuildError("there is nothing to start from; the first step must be `export`.")
        return self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a step has to say beside its file.

    Attributes:
        fusion: what was fused, see `fuse`; empty where nothing was.
        notes: sentences that belong to the artifact.
    """

    fusion: Mapping[str, Json] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def never(options: Mapping[str, Json]) -> bool:  # noqa: ARG001 # the signature of a question about options
    """No, whatever the options."""
    return False


def no_packages(options: Mapping[str, Json]) -> tuple[str, ...]:  # noqa: ARG001 # as above
    """None, whatever the options."""
    return ()


def unchanged(options: Mapping[str, Json]) -> str | None:  # noqa: ARG001 # as above
    """The arithmetic stays what it is."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepKind:
    """Everything that is to be known of a kind of step.

    Attributes:
        name: the zoo's name of it, and its module's.
        doc: what it does, as a phrase.
        options: what a recipe may say of it.
        run: does the work, given every option that is read.
        selector: the option whose value decides which of the others are read (`Option.only`); empty where all are.
        packages: distribution -> module of its tools; the versions go into the digest of what it writes. What
            exports a model is its framework's to say.
        chosen_packages: distributions that have a part in it with these options alone.
        precision: the arithmetic that it makes of a recipe, from the options that were given; None for no other.
        calibrated: whether the calibration examples decide what it writes, from all options.
        hardware: whether the CPU that it runs on does.
    """

    name: str
    doc: str
    options: tuple[Option, ...]
    run: Callable[[Work, Mapping[str, Json]], Done]
    selector: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    chosen_packages: Callable[[Mapping[str, Json]], tuple[str, ...]] = no_packages
    precision: Callable[[Mapping[str, Json]], str | None] = unchanged
    calibrated: Callable[[Mapping[str, Json]], bool] = never
    hardware: Callable[[Mapping[str, Json]], bool] = never

    def selected(self, options: Mapping[str, Json]) -> Json:
        """The value of the selecting option; None where there is none."""
        return options.get(self.selector)
