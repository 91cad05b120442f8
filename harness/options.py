"""One option of a step or a data source, declared once, where it is read.

The zoo's checks, the schema that editors use, the defaults and the tables of the documents are all made from the
declarations. Standard library only: a plan is made without anything heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

TYPES: Final = (int, float, bool, str, list, dict)
"""What an option can be; a list is one of texts, a dict has names and plain values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A key that a person may give.

    Attributes:
        type: one of `TYPES`.
        doc: what it means, as a phrase without a full stop.
        default: what holds where it is not given; None leaves the choice to whoever reads the option.
        choices: the only values; empty where any value of the type will do.
        required: whether the zoo insists on it; a default beside it is for recipes that come another way.
        path: whether it names a file or folder, which the zoo takes from its own folder.
        at_least, more_than, at_most: bounds of a number.
        only: values of the selecting option (or names of sources) with which it has an effect; empty for all.
        quiet: whether it is left out where it is not given, so that digests are what they were before there was such
            an option.
        beside: another option and the value that it must have for this one to have an effect.
    """

    name: str
    type: type
    doc: str
    default: Any = None
    choices: tuple[Any, ...] = ()
    required: bool = False
    path: bool = False
    at_least: float | None = None
    more_than: float | None = None
    at_most: float | None = None
    only: tuple[str, ...] = ()
    quiet: bool = False
    beside: tuple[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse a declaration that nothing could be derived from: a mistake of whoever writes one.

        Raises:
            TypeError: the type is none of `TYPES`.
        """
        if self.type not in TYPES:
            raise TypeError(f"option {self.name}: {self.type!r} is not one of the types of an option")

    def fits(self, selected: Any) -> bool:
        """Whether it is read at all when the selecting option has this value."""
        return not self.only or selected in self.only

    def has_effect(self, selected: Any, given: Mapping[str, Any]) -> bool:
        """Whether giving it beside these options changes anything."""
        return self.fits(selected) and (self.beside is None or given.get(self.beside[0]) == self.beside[1])


def by_name(options: tuple[Option, ...]) -> dict[str, Option]:
    """Options by their names, in the order in which they were declared."""
    return {option.name: option for option in options}
