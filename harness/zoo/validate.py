"""The pydantic models at work: a zoo's mapping -> typed entries, every mistake recorded; and their JSON schema."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from harness.zoo.problems import Keys, Problems
from harness.zoo.schema import ZooFile
from harness.zoo.text import Map

_SECTIONS = ("variants", "targets", "models")


def validated(root: Map, inherited: set[Keys], problems: Problems) -> tuple[ZooFile, bool]:
    """Return the typed zoo, without the entries that are wrong, and whether it is all of it.

    Args:
        root: the file's mapping, with `extends` carried out.
        inherited: entries that extend something missing; keys missing in them are not recorded.
        problems: collects what is wrong.
    """
    for section in _SECTIONS:
        if isinstance(root.get(section), Map) and not root[section]:
            problems.add((section,), "must not be empty")
    try:
        return ZooFile.model_validate(root), not inherited
    except ValidationError as error:
        wrong = problems.add_invalid(ZooFile, error.errors(include_url=False), inherited)
    # What is right is checked further, so that its mistakes are reported in the same go.
    sound: dict[str, Any] = {"version": 1, **{section: {} for section in _SECTIONS}}
    for section, entries in root.items():
        if (section,) in wrong or section == "version":
            continue
        names = {keys[1] for keys in wrong if keys[0] == section and len(keys) > 1}
        sound[section] = {name: entry for name, entry in entries.items() if name not in names}
    return ZooFile.model_validate(sound), False


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a zoo file (draft 2020-12)."""
    generated: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_trimmed(ZooFile.model_json_schema()),
    }
    for section in _SECTIONS:
        generated["properties"][section]["minProperties"] = 1
    # Beside `extends`, a variant gives options by step; the loader has merged them before pydantic sees them.
    steps = generated["$defs"]["VariantEntry"]["properties"]["steps"]
    listed = {key: steps.pop(key) for key in ("type", "items", "minItems")}
    steps["anyOf"] = [listed, {"$ref": "#/$defs/StepOptions"}]
    return generated


def _trimmed(node: Any) -> Any:
    """Drop titles, which repeat the keys, and defaults that only mean "absent"; and close mappings of names."""
    if isinstance(node, list):
        return [_trimmed(item) for item in node]
    if not isinstance(node, dict):
        return node
    noise = {"title"} if isinstance(node.get("title"), str) else set()
    if node.get("default") is None or isinstance(node["default"], dict):
        noise.add("default")
    kept = {key: _trimmed(value) for key, value in node.items() if key not in noise}
    return {**kept, "additionalProperties": False} if "patternProperties" in kept else kept
