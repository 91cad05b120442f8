"""The name of a case, such as `resnet50/int8-static/cpu-t2-b1`: formatted and parsed here, and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from harness.errors import CaseIdError
from harness.records.scenario import PATTERN

EXAMPLE: Final = "resnet50/int8-static/cpu-t2-b1"

NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
"""A name in a zoo. It may itself hold `-t2` or `-b1`, so a case's numbers are read from its end."""

_CASE: Final = re.compile(
    rf"(?P<model>{NAME})/(?P<variant>{NAME})/(?P<target>{NAME})"
    r"-t(?P<intra>[0-9]{1,9})(?:-i(?P<inter>[0-9]{1,9}))?(?:-b(?P<batch>[0-9]{1,9}))?"
    rf"(?:-(?P<scenario>{PATTERN}))?"
)
_SLASHES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseId:
    """What names one case in a zoo, in stored rows and on the command line.

    Attributes:
        model, variant, target: the zoo's names.
        intra_threads, inter_threads, batch, scenario: as in `harness.records.Target`.
    """

    model: str
    variant: str
    target: str
    intra_threads: int = 1
    inter_threads: int = 1
    batch: int = 1
    scenario: str = ""

    @classmethod
    def parse(cls, text: str) -> CaseId:
        """Read what `str` gives; the batch may be omitted and is 1 then.

        Raises:
            CaseIdError: a UsageError and a ValueError; says what is expected.
        """
        found = _CASE.fullmatch(text)
        batch = int(found["batch"] or 1) if found else 0
        if found is None or batch < 1:
            raise CaseIdError(
                f"{text!r} is not a case; a case is model/variant/target with its threads and batch, such as {EXAMPLE}"
            )
        return cls(
            model=found["model"],
            variant=found["variant"],
            target=found["target"],
            intra_threads=int(found["intra"]),
            inter_threads=int(found["inter"] or 1),
            batch=batch,
            scenario=found["scenario"] or "",
        )

    @property
    def label(self) -> str:
        """The target with its settings, such as `cpu-t2-b1`."""
        return target_label(
            self.target, threads(self.intra_threads, self.inter_threads), size(self.batch, self.scenario)
        )

    def __str__(self) -> str:
        """Such as `resnet50/int8-static/cpu-t2-b1`; `-i4` follows the threads where inter-op threads count."""
        return case_name(self.model, self.variant, self.label)


class CaseParts(NamedTuple):
    """The three parts of a case's name; an imported benchmark's name stands for its model, and the rest is empty."""

    model: str
    variant: str = ""
    label: str = ""

    @property
    def within_model(self) -> str:
        """What tells a case from others of its model."""
        return f"{self.variant}/{self.label}" if self.variant else self.model


def parts(case: str) -> CaseParts:
    """The parts of the name of a stored case, whatever characters they hold."""
    return CaseParts(*case.rsplit("/", _SLASHES)) if case.count("/") >= _SLASHES else CaseParts(case)


def artifact_of(text: str) -> tuple[str, str]:
    """The model and the variant that `model/variant` or a whole case names.

    Raises:
        CaseIdError: it is neither.
    """
    if found := re.fullmatch(rf"({NAME})/({NAME})", text):
        return found[1], found[2]
    case = CaseId.parse(text)
    return case.model, case.variant


def threads(intra: int | str, inter: int | str = 1) -> str:
    """Thread settings in short: `2`, and `2-i4` where four inter-op threads count."""
    return f"{intra}-i{inter}" if inter != 1 else f"{intra}"


def size(batch: int, scenario: str) -> int | str:
    """A batch and how requests arrive, in short: `8`, and `8-multi4` where that is not single-stream."""
    return f"{batch}-{scenario}" if scenario else batch


def target_label(target: str, short_threads: str, batch: int | str) -> str:
    """A target with its settings, such as `cpu-t2-b1`; `short_threads` as `threads` gives it, or a glob."""
    return f"{target}-t{short_threads}-b{batch}"


def case_name(model: str, variant: str, label: str) -> str:
    """The name of a case from its three parts, each of them a name or a glob."""
    return f"{model}/{variant}/{label}"
