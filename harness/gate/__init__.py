"""Whether head got slower or worse than base, and how sure that is.

`gate.py` is the sequence from two sides to a report, and `judge.py` is where a case's verdict is made of its findings.
`model.py` holds the nouns that both speak of. What they use, package by package:

* `sides/`: what a person asked to compare becomes two sides; each is built by its own code, and cases are matched.
* `checks/`: what needs no clock: outputs compared example by example, size, nodes, placement, signature.
* `timing/`: pairs of processes: which is next, what is confirmed, and what that says of latency and memory.
* `history/`: the same verdicts from stored results, without measuring.
* `accepted_changes.py`: regressions that somebody accepted.
* `text/`: every sentence; `outputs/`: terminal, Markdown, JUnit, JSON, annotations, and where they are written.
* `selftest/`: what the rule's error rates are on this host; `bisect/`: which commit or release made a case slower.
* `contender_build.py`: the entry point through which gates of other commits build a side.

The packages import one way; import-linter holds it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class GatePackage(ModuleType):
    """This package, which is called as `harness.gate(...)`: importing it takes the place of the function."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """As `harness.api.gate`."""
        # By its name: what is below it cannot import it.
        return sys.modules["harness.api"].gate(*args, **options)


sys.modules[__name__].__class__ = GatePackage
