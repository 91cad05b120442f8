"""How many processes asv's own test can do something with.

asv compares raw values by Mann-Whitney's test below 0.002 as soon as the smallest one-sided p-value is below that, and
takes the two-sided one. With six values on either side the smallest of those is 2 / 924 = 0.0022: whatever happened,
`asv compare` calls it not significant. With five it compares the 99% intervals instead; from seven on the test works.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from harness import zoo
from harness.asv.exchange import PROCESSES, ZOO
from harness.errors import HarnessError

NEVER_FLAGS: Final = 6


def warning(environment: Any) -> str:
    """What to say of the number of processes that an environment of asv asks for; empty where asv can use it.

    Args:
        environment: asv's, for its variables; the zoo in the working folder says what holds where nothing is set.
    """
    asked = environment.env_vars.get(PROCESSES) or os.environ.get(PROCESSES)
    source = PROCESSES
    if not asked:
        name = environment.env_vars.get(ZOO) or os.environ.get(ZOO) or "model_zoo.yaml"
        source = f"`processes` in {name}"
        try:
            asked = str(zoo.load(Path.cwd() / name).defaults.processes)
        except (HarnessError, OSError):
            return ""
    if asked.strip() != str(NEVER_FLAGS):
        return ""
    return (
        f"{source} is 6: `asv compare` calls no change of latency or start-up significant, however large. "
        "Its rank test cannot reach its threshold with six values on each side; take 5 or 7."
    )
