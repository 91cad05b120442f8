"""The entry point that gates of other commits run to build a side: `python -m harness.gate.contender_build`.

A gate builds each side with that side's own interpreter and code, in a process of its own, so that what runs here may
be asked by a gate of another commit, older or newer. What they rely on, and what therefore stays:

* the module's name, and that this file exists: a tree without it has no gate yet, and is built by the gate's own code;
* the job, one line of JSON on stdin: `zoo` (a file), `caches` (`shared` and `own`, folders), `whole` (whether
  everything goes into the side's own cache), `selection` (lists of `models`, `variants`, `targets`, `threads` and
  `batch`; null or absent is the zoo's), `case` (an id; empty for all of the selection) and `wire`, the version of the
  answer that the asking gate reads (absent: 1);
* on stdout one JSON object per line, in any number: `{"event": {...}}`, what was built (`model`, `variant`, `step`,
  `state`, `seconds`, `detail`), and at last `{"answer": {...}}`;
* the answer: `wire`, its version; `cases`, each with `case` and `built` as `harness.records.wire` writes them in that
  version, and `cache`, the folder that holds its artifact and reference; `notes`, texts. Or `error`, a text, with its
  `kind`: `usage` or `store`;
* exit code 0 also for an `error` that was raised on purpose; a child without an answer has died, and its stderr says
  why;
* the child ends when its stdin does.

The versions are listed in `harness.records.wire`. A key that one side does not know is dropped by it, and a key that
the other did not send is the default.
"""

from __future__ import annotations

import json
import sys
import threading

from harness import jobs
from harness.errors import HarnessError, StoreError
from harness.gate.sides import build


def main() -> int:
    """Answer one job."""
    channel = jobs.private_channel()
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=jobs.leave_with_parent, daemon=True).start()
    try:
        answer = build.answer(job, lambda event: jobs.send(channel, event=build.event_to_json(event)))
    except StoreError as error:
        answer = {"error": str(error), "kind": "store"}
    except HarnessError as error:
        answer = {"error": str(error), "kind": "usage"}
    jobs.send(channel, answer=answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
