"""What one part of a zoo file says about another: `extends`, and names that must exist.

Works on the file's mappings before they are validated, so that a wrong name is reported beside every other mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.suggest import suggest
from harness.zoo.problems import Keys, Problems
from harness.zoo.text import Map, Seq

RANDOM = "random"
"""The data that needs no entry: random numbers of the inputs' types and shapes."""


def extended(root: Map, problems: Problems) -> tuple[Map, set[Keys]]:
    """Return the zoo with every `extends` of its models and variants carried out.

    A key that the extending entry gives replaces the other's; only a variant's `steps`, given as options by step,
    are merged into the other's steps.

    Returns:
        The mapping, and the key paths of the entries that extend something missing or themselves.
    """
    whole = Map(root.mark)
    broken: set[Keys] = set()
    for key, value in root.items():
        section = value
        if key in ("models", "variants") and isinstance(value, Map):
            section = Map(value.mark)
            for name in value:
                entry = _follow(key, value, name, problems, broken)
                section.put(name, entry, value.at[name])
        whole.put(key, section, root.at[key])
    return whole, broken


def _follow(section: str, entries: Map, name: str, problems: Problems, broken: set[Keys]) -> Any:
    """Return an entry merged over all that it extends, walking up until there is no more."""
    chain, seen = [entries[name]], [name]
    while isinstance(chain[-1], Map) and isinstance(parent := chain[-1].get("extends"), str):
        keys = (section, seen[-1], "extends")
        if parent in seen:
            if parent == name == min(seen):  # once per cycle, not once per member
                problems.add(keys, f"cyclic: {' extends '.join([*seen, parent])}; one of them must stand alone")
            broken.add((section, name))
            break
        if parent not in entries:
            problems.add(keys, f"no {section.removesuffix('s')} is called {parent!r}; {suggest(parent, entries)}")
            broken.add((section, name))
            break
        chain.append(entries[parent])
        seen.append(parent)
    merged = chain.pop()
    while chain:
        merged = _merged(merged, chain.pop(), (section, seen[len(chain)]), problems)
    return merged


def _merged(parent: Any, child: Map, keys: Keys, problems: Problems) -> Any:
    if not isinstance(parent, Map):
        return child
    whole = Map(child.mark)
    for source in (parent, child):
        for key, value in source.items():
            steps = parent.get("steps")
            put = value
            if key == "steps" and source is child and isinstance(value, Map) and isinstance(steps, Seq):
                put = _with_options(steps, value, (*keys, "steps"), problems)
            whole.put(key, put, source.at[key])
    return whole


def _with_options(steps: Seq, options: Map, keys: Keys, problems: Problems) -> Seq:
    """Return the steps with the options merged into those of the same kind."""
    whole = Seq(steps.mark)
    kinds = []
    for step, mark in zip(steps, steps.at, strict=True):
        kind = next(iter(step), "") if isinstance(step, Map) else step
        kinds.append(str(kind))
        if kind not in kinds[:-1] and isinstance(kind, str) and isinstance(options.get(kind), Map):
            given = Map(mark)
            for source in (step.get(kind) if isinstance(step, Map) else None, options[kind]):
                if isinstance(source, Map):
                    for key, value in source.items():
                        given.put(key, value, source.at[key])
            merged = Map(mark)
            merged.put(kind, given, options.at[kind])
            whole.put(merged, mark)
        else:
            whole.put(step, mark)
    for kind, value in options.items():
        if kind not in kinds:
            problems.add_at(options.at[kind], f"what it extends has no step {kind!r}; it has: {', '.join(kinds)}", keys)
        elif not isinstance(value, Map | None):
            problems.add_at(options.at[kind], "expected the step's options, a mapping", (*keys, kind))
    return whole


def check_references(root: Map, problems: Problems) -> None:
    """Record every name that refers to something the zoo does not have."""
    defaults = root.get("defaults")
    if isinstance(defaults, Map):
        for section, what in (("variants", "variant"), ("targets", "target")):
            names = defaults.get(section)
            for index, name in enumerate(names if isinstance(names, Seq) else ()):
                _must_exist(problems, ("defaults", section, index), what, name, _names(root, section))
        _must_exist(problems, ("defaults", "baseline"), "variant", defaults.get("baseline"), _names(root, "variants"))
    models = root.get("models")
    for model, entry in models.items() if isinstance(models, Map) else ():
        if not isinstance(entry, Map):
            continue
        data = entry.get("data")
        used = data.get("use") if isinstance(data, Map) else data
        keys: Keys = ("models", model, "data", "use")
        _must_exist(problems, keys, "data", used, [*_names(root, "data"), RANDOM])
        named: Keys = ("models", model, "baseline")
        _must_exist(problems, named, "variant", entry.get("baseline"), _names(root, "variants"))
        variants = entry.get("variants")
        for variant in variants if isinstance(variants, Map) else ():
            _must_exist(problems, ("models", model, "variants", variant), "variant", variant, _names(root, "variants"))


def _names(root: Mapping[str, Any], section: str) -> Iterable[str]:
    entries = root.get(section)
    return list(entries) if isinstance(entries, Map) else []


def _must_exist(problems: Problems, keys: Keys, what: str, name: Any, valid: Iterable[str]) -> None:
    if isinstance(name, str) and name not in valid:
        problems.add(keys, f"no {what} is called {name!r}; {suggest(name, valid)}")
