"""Which session settings are worth trying for a build. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness import runtime_spec
from harness.providers import uses_session_threads
from harness.records import Case, Target
from harness.session_options import EXECUTION_MODE, PARALLEL
from harness.tune.model import EXTENDED
from harness.units import count

Entry = tuple[str, Mapping[str, str], str]
"""The end of a target's name, entries of its session's configuration, and what they are in words."""

ENTRIES: Sequence[Entry] = (
    ("blocks", {"session.dynamic_block_base": "4"}, "work in blocks that shrink"),
    ("denormals", {"session.set_denormal_as_zero": "1"}, "denormals as zero"),
    ("no-arena", {"session.enable_cpu_mem_arena": "0"}, "without the memory arena"),
    ("unpacked", {"session.disable_prepacking": "1"}, "without packing weights"),
)
SPINNING = ("no-spin", {"session.intra_op.allow_spinning": "0"}, "threads that do not spin")


def one_by_one(
    case: Case, threads: Sequence[int], batches: Sequence[int] = (), entries: Sequence[Entry] = ENTRIES
) -> Iterator[tuple[Case, str]]:
    """A case with one setting changed at a time.

    Args:
        case: on the target that was asked for.
        threads: the counts that may be used.
        batches: the sizes that may be; the target's own where empty.
        entries: those of a session's configuration that are tried.
    """
    target = case.target
    for size in batches:
        if size != target.batch:
            yield replace(case, target=replace(target, batch=size)), f"batches of {size}"
    own_settings = not runtime_spec.other(target.runtime) and not runtime_spec.language(target.runtime)
    if not own_settings or not uses_session_threads(target.provider):
        return
    for number in threads:
        pins = not number and "cpus" in target.limits  # to every core of the machine
        if number != target.intra_threads and not pins:
            yield replace(case, target=replace(target, intra_threads=number)), _threads(number)
    for ending, config, words in [*entries, *([SPINNING] if target.intra_threads != 1 else [])]:
        if not config.items() <= target.session_config.items():
            yield replace(case, target=configured(target, config, ending)), words
    if target.intra_threads > 1 and EXECUTION_MODE not in target.session_config:
        parallel = replace(configured(target, {EXECUTION_MODE: PARALLEL}, "parallel"), inter_threads=2)
        yield replace(case, target=parallel), "branches in parallel"
    if case.recipe.optimization == "all":
        yield (
            replace(case, recipe=replace(case.recipe, name=f"{case.recipe.name}{EXTENDED}", optimization="extended")),
            "optimization `extended`",
        )


def _threads(number: int) -> str:
    return count(number, "thread") if number else "a thread for each core"


def configured(target: Target, config: Mapping[str, str], ending: str) -> Target:
    """A target with more session settings, under a name of its own."""
    return replace(target, name=f"{target.name}.{ending}", session_config={**target.session_config, **config})


def moved(changed: Case, base: Case) -> Case:
    """Another build on the settings of one that was changed."""
    recipe = base.recipe
    if changed.recipe.optimization != recipe.optimization:
        recipe = replace(recipe, name=f"{recipe.name}{EXTENDED}", optimization=changed.recipe.optimization)
    return replace(base, target=changed.target, recipe=recipe)


def combined(base: Case, better: Sequence[Case]) -> Case | None:
    """Every change of some cases at once; None where there are not at least two.

    Of changes of one thing, such as two thread counts, the first counts.
    """
    if len(better) < 2:  # noqa: PLR2004
        return None
    target, recipe, names = base.target, base.recipe, []
    for one in better:
        more = {key: value for key, value in one.target.session_config.items() if key not in target.session_config}
        if more:
            target = replace(target, session_config={**target.session_config, **more})
        if one.target.intra_threads != base.target.intra_threads and target.intra_threads == base.target.intra_threads:
            target = replace(target, intra_threads=one.target.intra_threads)
        if one.target.batch != base.target.batch and target.batch == base.target.batch:
            target = replace(target, batch=one.target.batch)
        if one.target.inter_threads != base.target.inter_threads:
            target = replace(target, inter_threads=one.target.inter_threads)
        if one.recipe.optimization != recipe.optimization:
            recipe = one.recipe
        names.append(one.target.name)
    return replace(base, target=replace(target, name=f"{base.target.name}.combined"), recipe=recipe)


def counts(asked: int, available: int, *, fixed: bool) -> tuple[int, ...]:
    """The thread counts that are worth trying.

    Args:
        asked: of the target.
        available: processor cores.
        fixed: whether the target was named with its threads, so that no more than those may be used.
    """
    most = asked if fixed and asked else available
    found = [number for number in (1, 2, 4, most // 2, most) if 1 <= number <= most]
    return tuple(dict.fromkeys([*found, *([] if fixed and asked else [0])]))
