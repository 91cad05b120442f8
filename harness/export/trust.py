"""What of a stored row is run: rows may be somebody else's, and what they name is data.

A release by its name is what a sweep would install, too. A file (an interpreter, a wheel, a library of a provider) is
opened only where the zoo, which is trusted, has a target that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness import bounds, zoo
from harness.errors import HarnessError, UsageError
from harness.runtime_spec import DEVICES, is_path, language
from harness.store.rows import Row

LIBRARIES: Final = (".so", ".dll", ".dylib")


def check_numbers(row: Row) -> None:
    """Refuse a row with sizes that no sweep measures: memory would be asked for before anything is run.

    Raises:
        UsageError: naming them.
    """
    for name, bound in (("batch", bounds.BATCH), ("intra_threads", bounds.THREADS), ("inter_threads", bounds.THREADS)):
        if row[name] is not None and row[name] not in bound:
            raise UsageError(f"the stored row of {row['case']} has {name} {row[name]}; expected {bound}")


def why_not_run(session: Mapping[str, Any], zoo_file: Path) -> str:
    """Why a session is not opened here; empty where it may be.

    Args:
        session: runtime, provider options, configuration and plugin, as a row has them.
        zoo_file: whose targets may name files; it may be missing.
    """
    plugin = str(session.get("plugin") or "")
    given = (str(session["runtime"]), dict(session["provider_options"]), dict(session["config"]), plugin)
    named = [given[0], *map(str, given[1].values()), *map(str, given[2].values()), plugin]
    file = next((one for one in named if is_path(one) or one.lower().endswith(LIBRARIES)), None)
    if file is None and (language(given[0]) or ("",))[0] in DEVICES:
        file = given[0]  # nor is a machine connected to that somebody else's row names
    if file is None:
        return ""
    try:
        targets = zoo.load(zoo_file).targets.values() if zoo_file.is_file() else ()
    except HarnessError:
        targets = ()
    known = ((one.runtime, dict(one.provider_options), dict(one.session_config), one.plugin) for one in targets)
    if given in known:
        return ""
    return f"the stored row names {file}, and no target of {zoo_file.name} does: what results name is not run"
