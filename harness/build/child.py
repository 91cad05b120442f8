"""The build child: reads one job from stdin, builds one model's variants, and tells of it in JSON lines.

Run as `python -m harness.build.child`. The events go to what was stdout when it started; what
libraries print goes to stderr. When stdin ends, the parent is gone, and the child goes too.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from harness import jobs, reasons
from harness.errors import BuildError, StoreError
from harness.records import Status, wire

if TYPE_CHECKING:
    from harness.records import ModelSpec, Recipe


def main() -> int:
    """Build what the job on stdin asks for; the exit status is 0 when every variant was reported."""
    channel = jobs.private_channel()
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=jobs.leave_with_parent, daemon=True).start()
    from harness.frameworks import hub

    hub.remember(job["unreachable"])
    model = wire.model_from_json(job["model"])
    recipes = [wire.recipe_from_json(one) for one in job["recipes"]]
    try:
        run(Path(job["cache"]), model, recipes, channel)
    except StoreError as error:
        jobs.send(channel, event="store", reason=str(error))
        return 1
    return 0


def run(root: Path, model: ModelSpec, recipes: list[Recipe], channel: TextIO) -> None:
    """Build each variant and send an event for every step and every end.

    Raises:
        StoreError: the cache cannot be written.
    """
    from harness.build.builder import Maker, WeightsChanged
    from harness.build.cache import Cache
    from harness.build.lookup import refusal

    variant = ""

    def tell(step: str, state: str, seconds: float, detail: str) -> None:
        jobs.send(channel, event="step", variant=variant, step=step, state=state, seconds=seconds, detail=detail)

    maker = Maker(Cache(root), model, tell)
    pending, changed = list(recipes), False
    while pending:
        recipe = pending.pop(0)
        variant = recipe.name
        jobs.send(channel, event="begin", variant=variant)
        try:
            maker.make(recipe)
        except StoreError:
            raise
        except WeightsChanged as error:
            if changed:
                raise BuildError(f"{error} They change with every look.") from error
            # Digests computed from the old weights are void: begin again, with what the source gives now.
            pending, changed = list(recipes), True
        except BuildError as error:
            end = refusal(error)
            reason = reasons.with_sizes(end.reason, model.dims) if end.status is Status.FAILED else end.reason
            jobs.send(channel, event="refused", variant=variant, status=end.status.value, reason=reason)
        except Exception as error:  # noqa: BLE001 # one broken variant must not take the others along
            import traceback

            traceback.print_exc()
            reason = f"{model.name}/{variant}: {reasons.with_sizes(reasons.reason_of(error), model.dims)}"
            jobs.send(channel, event="refused", variant=variant, status="failed", reason=reason)
        else:
            jobs.send(channel, event="built", variant=variant)


if __name__ == "__main__":
    sys.exit(main())
