"""Explanations beside the results: one sealed file for each case, the newest, which the dashboard reads.

::

    results/explanations/<digest of the case's id>.explained

The name does not end in .json, because asv looks at every such file under results/.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from harness import sealed
from harness.explain.model import Explanation
from harness.store import files

FOLDER = "explanations"
ENDING = ".explained"


def place(results: Path, case: str) -> Path:
    """Where the explanation of a case lies."""
    return results / FOLDER / f"{hashlib.sha256(case.encode()).hexdigest()[:20]}{ENDING}"


def put(results: Path, found: Explanation) -> Path:
    """Keep an explanation in place of an earlier one of the same case.

    Raises:
        StoreError: it cannot be written.
    """
    path = place(results, found.case)
    files.write(path, sealed.seal(found.case, found.to_json()))
    return path


def get(results: Path, case: str) -> Explanation | None:
    """The explanation of a case; None where there is none that can be read."""
    content = sealed.opened(place(results, case), case).content
    if content is None:
        return None
    try:
        return Explanation.from_json(content)
    except (ValueError, LookupError, TypeError):
        return None


def states(results: Path, cases: Iterable[str]) -> dict[str, str]:
    """Of these cases those that have an explanation -> a text that changes when it does."""
    if not (results / FOLDER).is_dir():
        return {}
    found = {}
    for case in cases:
        path = place(results, case)
        try:
            stat = path.stat()
        except OSError:
            continue
        found[case] = f"{path.name} {stat.st_size} {stat.st_mtime_ns}"
    return found
