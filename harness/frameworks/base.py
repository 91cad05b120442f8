"""What a framework states of itself, and what it gives back once it has loaded a model. Standard library only."""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import MissingExtra, Skip
from harness.records import Json, ModelSpec, Weights

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(abc.ABC):
    """A model in memory, ready to be exported and to compute the reference. Each framework has its own kind.

    Attributes:
        origin: what computes the reference, such as `torch 2.13.0`.
        outputs: the names of the outputs, in order.
        model: the spec, with inputs filled in where a file brings its own.
        facts: what later steps want to know of the network, such as the number of attention heads; in JSON. `inputs`
            are those of a file that states its own, `files` whatever the weights were read from.
    """

    weights: Weights
    origin: str
    outputs: tuple[str, ...]
    model: ModelSpec
    facts: Mapping[str, Json] = field(default_factory=dict)

    @abc.abstractmethod
    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs, in order and whole, on one feed: an array with all its axes for each input."""

    @abc.abstractmethod
    def export(self, options: Mapping[str, Json], folder: Path) -> None:
        """Write `folder`/model.onnx.

        Args:
            options: those of the step `export`, resolved.
            folder: an empty one.

        Raises:
            BuildError: the exporter failed.
        """

    def folded(self) -> tuple[Loaded, int]:
        """The same model with its batch norms folded into convolutions by the framework, and how many those are.

        Raises:
            Skip: the framework has no way to do that.
            BuildError: it failed.
        """
        raise Skip("export: `fold` has an effect on torch's models alone, which torch.fx folds.")

    def close(self) -> None:
        """Free what `run` holds beyond the model itself; it may be called again afterwards."""
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """Everything that is to be known of a framework without importing it.

    Attributes:
        name: the zoo's name of it, and its module's.
        doc: what it brings, as a phrase.
        id_doc: what the zoo's `id` is.
        options_doc: what the zoo's `options` are; empty where they have no effect.
        load: builds the network and gives it its weights; called in the build child, with the packages' imports in it.
        packages: distribution -> module of what `load` needs; the versions go into every digest.
        optional_packages: further distributions that have a part in the weights of some models, where installed.
        export_packages: distributions that have a part in what `Loaded.export` writes.
        exporter_packages: further ones, by the export step's option `exporter`.
        reference_packages: distributions that have a part in what `Loaded.run` computes, beside `packages`.
        extra: the optional extra of this package that installs what it needs; None where there is none.
        hub: where it fetches weights from; None for a framework without a hub.
        hub_variable: the environment variable that moves the hub.
        weights: the kinds that the zoo may ask for, the usual one first; empty where the model brings its own.
        fits: whether its models are fitted on the calibration examples and their labels, less those that are evaluated.
        file: the suffix of the file that `id` names, relative to the zoo; its content stands for it in digests. Empty
            where `id` is not a file.
        states_inputs: whether the model says itself what it takes, so that the zoo need not.
        runs_user_code: whether `id` is a `module:callable` of the user's, whose code is part of every digest.
        id_pattern: a regular expression for `id`; empty where anything may be one.
        id_expected: what to say where `id` does not match.
        build_s: about how many seconds building one variant takes on two cores, for the estimate of a plan alone.
        environment: variables of the build child that keep it from telling, installing or asking anything.
        licence: what is known of the licence of its code and of pretrained weights, in a sentence; empty where nothing.
        apart: whether it runs in an environment of its own where the zoo does not say otherwise (`framework_env`).
        requirements: what pip installs there; `packages` and `export_packages` where empty.
        prepare: done before its modules are imported, where something has to be.
    """

    name: str
    doc: str
    id_doc: str
    load: Callable[[ModelSpec], Loaded]
    options_doc: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    optional_packages: tuple[str, ...] = ()
    export_packages: tuple[str, ...] = ()
    exporter_packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reference_packages: tuple[str, ...] = ()
    extra: str | None = None
    hub: str | None = None
    hub_variable: str = ""
    weights: tuple[str, ...] = ("pretrained", "seeded")
    fits: bool = False
    file: str = ""
    states_inputs: bool = False
    runs_user_code: bool = False
    id_pattern: str = ""
    id_expected: str = ""
    build_s: float = 10.0
    environment: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    apart: bool = False
    requirements: tuple[str, ...] = ()
    prepare: Callable[[], None] | None = None

    def hub_url(self) -> str | None:
        """Where it fetches weights from in this environment; None for a framework without a hub."""
        return os.environ.get(self.hub_variable) or self.hub if self.hub_variable else self.hub

    def exported_with(self, exporter: str) -> tuple[str, ...]:
        """The distributions that have a part in what an exporter writes."""
        return (*self.export_packages, *self.exporter_packages.get(exporter, ()))

    def missing(self, error: ImportError) -> MissingExtra:
        """The error for a framework that is not installed or does not import."""
        return MissingExtra(
            f"The source `{self.name}` needs {list(self.packages)[-1]}, which does not import here ({error}): "
            f"{self.how_to_install()}."
        )

    def how_to_install(self) -> str:
        """The command that installs what it needs."""
        return f"pip install 'onnx-harness[{self.extra}]'" if self.extra else f"pip install {' '.join(self.packages)}"
