"""The id of a case: model, variant and target in one text, such as `resnet50/int8-static/cpu-t2-b1`."""

from __future__ import annotations

import re
from dataclasses import dataclass

TARGET = re.compile(r"(?P<name>[^/]+?)-t(?P<intra>\d+)(?:-i(?P<inter>\d+))?(?:-b(?P<batch>\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseId:
    """A case by name: one cell of the matrix, without what its zoo says of it.

    Attributes:
        target: the zoo's name of the target, such as `cpu`.
        intra_threads, inter_threads, batch: as in `Target`.
    """

    model: str
    variant: str
    target: str
    intra_threads: int
    inter_threads: int = 1
    batch: int = 1

    def __str__(self) -> str:
        """Such as `resnet50/int8-static/cpu-t2-b1`; `-i4` stands before the batch where inter-op threads count."""
        inter = f"-i{self.inter_threads}" if self.inter_threads != 1 else ""
        return f"{self.model}/{self.variant}/{self.target}-t{self.intra_threads}{inter}-b{self.batch}"

    @classmethod
    def parse(cls, text: str) -> CaseId:
        """Read an id; a batch of 1 may be omitted.

        Raises:
            ValueError: if it is not one; the text says what is expected.
        """
        parts = text.split("/")
        found = TARGET.fullmatch(parts[-1])
        if len(parts) != 3 or not all(parts) or found is None:  # noqa: PLR2004  (model, variant, target)
            raise ValueError(
                f"{text!r} is not a case id; expected model/variant/target with threads and batch, such as "
                f"resnet50/int8-static/cpu-t2-b1"
            )
        return cls(
            model=parts[0],
            variant=parts[1],
            target=found["name"],
            intra_threads=int(found["intra"]),
            inter_threads=int(found["inter"] or 1),
            batch=int(found["batch"] or 1),
        )
