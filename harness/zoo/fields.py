"""Pydantic fields and models from declared options: what is checked is what those who read an option declared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from harness.options import Option

ABSENT: Any = None
"""The default of a key that may be left out, though it may not be null."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]

_TYPES: dict[type, Any] = {str: Text, list: list[Text], dict: dict[str, Any]}


class Strict(BaseModel):
    """Base of every mapping in a zoo file: no unknown keys, no conversions."""

    # Building the validator of every class on its own would double the time that a command takes to start.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    def given(self) -> dict[str, Any]:
        """Return the keys that the file gives, with their values."""
        return {key: getattr(self, key) for key in type(self).model_fields if key in self.model_fields_set}


def model_of(
    name: str, doc: str, options: Iterable[Option], *, required: bool, base: type[Strict] = Strict
) -> type[Strict]:
    """A mapping whose keys are options.

    Args:
        name: what the JSON schema calls it.
        doc: what it is, a sentence.
        options: its keys.
        required: whether those that are required have to be given.
        base: the model that has its other keys.
    """
    fields: dict[str, Any] = {option.name: field(option, required=required and option.required) for option in options}
    made: type[Strict] = create_model(name, __base__=base, __doc__=doc, **fields)
    return made


def field(option: Option, *, required: bool) -> tuple[Any, Any]:
    """The type and the field of one option."""
    kind = Literal[option.choices] if option.choices else _TYPES.get(option.type, option.type)
    made = Field(
        default=... if required else ABSENT,
        ge=option.at_least,
        gt=option.more_than,
        le=option.at_most,
        description=f"{', '.join(option.only)}: {option.doc}" if option.only else option.doc,
    )
    return kind, made
