"""Whether what is the same on both sides runs at all: what runs on neither is not compared, and has not passed.

Nothing of such a case is measured, so that nobody else would find out: a case of a provider that is not here, or of a
precision that its kernels lack, is the same file on both sides and runs on none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.gate import judge
from harness.gate.checks import quality
from harness.gate.model import CaseVerdict, Match, Verdict
from harness.processes import OutOfTime

Refuses = Callable[[Match], str | None]
"""Why the head of a match cannot open its artifact and run it once; None where it can."""


def neither(matches: Sequence[Match], refuses: Refuses, say: Callable[[str], None]) -> dict[str, CaseVerdict]:
    """The verdicts of those that run on neither side, and of those that the time limit left untried.

    Cases that differ in threads or batch alone are tried once.

    Args:
        matches: whose two sides are the same file on the same runtime.
        refuses: tries one.
        say: hears what takes a while.
    """
    if not matches:
        return {}
    say(f"trying whether what is the same on both sides runs here ({len(matches)} of the cases)")
    known: dict[tuple[object, ...], str | None] = {}
    found: dict[str, CaseVerdict] = {}
    for place, match in enumerate(matches):
        assert match.head is not None  # noqa: S101  (the same on both sides)
        key = quality.key(match.head)
        try:
            why = known[key] if key in known else refuses(match)
        except OutOfTime:
            late = "the time limit was over before it was tried whether it runs here"
            return found | {one.name: judge.verdict(one, Verdict.INCONCLUSIVE, late) for one in matches[place:]}
        known[key] = why
        if why is not None:
            found[match.name] = judge.verdict(match, Verdict.NOT_COMPARABLE, f"runs on neither side: {why}")
    return found
