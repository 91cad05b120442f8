"""`harness view`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import bounds, scratch
from harness.cli import depots, ending, options

if TYPE_CHECKING:
    from harness.explain.model import Explanation
    from harness.flow.session import BuildAll
    from harness.records import CaseId
    from harness.zoo import Zoo


def view(
    what: Annotated[str, typer.Argument(metavar="CASE", help="A case, such as resnet50/int8-static/cpu-t1-b1.")],
    port: Annotated[
        int,
        typer.Option(
            "--port", min=bounds.PORT.least, max=bounds.PORT.most, help="Port of 127.0.0.1; 0 takes a free one."
        ),
    ] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open a browser.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.onnx", help="Write the copy there, and show nothing.")
    ] = None,
    zoo: options.Zoo = options.ZOO,
    results: options.Results = options.RESULTS,
    cache: options.CachePlace = None,
) -> None:
    """Show the artifact of a case in Netron on this machine, each node with its time and its error.

    They are of the last `harness explain` of the case, which is made where there is none. The artifact stays as it is:
    a copy carries them.

    Example: harness view digits_cnn/int8-static/cpu-t1-b1 --open
    """
    from harness import zoo as zoos
    from harness.build.cache import Cache
    from harness.explain import annotate, cases, netron
    from harness.paths import typed

    the_zoo = zoos.load(zoo)
    asked = cases.named(the_zoo, what)
    cases.find(the_zoo, asked)
    if out is None:
        netron.folder()  # what is missing is said before anything is built
    root, builds = depots.cache_and_builds(cache)
    found = explanation(the_zoo, asked, root, results, builds)
    with scratch.folder("view") as folder:
        target = typed(out) if out is not None else folder / "model.onnx"
        said = annotate.write(Cache(root).artifact_path(found.artifact), found, target)
        if out is not None:
            ending.out(f"{target}: {said} nodes with their time or error")
            return

        def ready(address: str) -> None:
            sys.stdout.write(f"{address}  (Ctrl-C ends it)\n")
            sys.stdout.flush()
            if open_:
                import webbrowser

                webbrowser.open(address)

        netron.show(target, found.case, port, ready)


def explanation(the_zoo: Zoo, asked: CaseId, cache: Path, results: Path, builds: BuildAll | None = None) -> Explanation:
    """The stored explanation of a case where it is of the artifact that there is; else a new one, which is kept."""
    from harness.explain import cases, stored
    from harness.explain.explain import ExplainRequest, explain

    case = cases.find(the_zoo, asked)
    session = cases.open_session(the_zoo, case, cache=cache, results=results, say=ending.say, builds=builds)
    artifact = cases.built(session, case, ending.say)
    known = stored.get(results, case.id)
    if known is not None and known.artifact == artifact.digest:
        return known
    request = ExplainRequest(zoo=the_zoo, case=asked, cache=cache, results=results, confirm=0, builds=builds)
    found = explain(request, ending.say)
    stored.put(results, found)
    return found
