"""The build child: reads one job from stdin, builds variants of its models, and tells of it in JSON lines.

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
    from harness.build.cache import Cache
    from harness.records import ModelSpec, Recipe


def main() -> int:
    """Build what the job on stdin asks for; the exit status is 0 when every variant was reported."""
    channel = jobs.private_channel()
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=jobs.leave_with_parent, daemon=True).start()
    from harness.build.cache import Cache
    from harness.frameworks import hub

    hub.remember(job["unreachable"])
    cache = Cache(Path(job["cache"]), Path(job["environments"]))
    try:
        for asked in job["models"]:
            model = wire.model_from_json(asked["model"])
            recipes = [wire.recipe_from_json(one) for one in asked["recipes"]]
            run(cache, model, recipes, channel)
    except StoreError as error:
        jobs.send(channel, event="store", reason=str(error))
        return 1
    return 0


def run(cache: Cache, model: ModelSpec, recipes: list[Recipe], channel: TextIO) -> None:
    """Build each variant of a model and send an event for every step and every end.

    Raises:
        StoreError: the cache cannot be written.
    """
    from harness.build.builder import Maker, WeightsChanged
    from harness.build.lookup import refusal

    variant = ""

    def send(event: str, **more: object) -> None:
        jobs.send(channel, event=event, model=model.name, variant=variant, **more)

    def tell(step: str, state: str, seconds: float, detail: str) -> None:
        send("step", step=step, state=state, seconds=seconds, detail=detail)

    maker = Maker(cache, model, tell)
    pending, changed = list(recipes), False
    while pending:
        recipe = pending.pop(0)
        variant = recipe.name
        send("begin")
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
            send("refused", status=end.status.value, reason=reason)
        except Exception as error:  # noqa: BLE001 # one broken variant must not take the others along
            import traceback

            traceback.print_exc()
            reason = f"{model.name}/{variant}: {reasons.with_sizes(reasons.reason_of(error), model.dims)}"
            send("refused", status="failed", reason=reason)
        else:
            send("built")


if __name__ == "__main__":
    sys.exit(main())
