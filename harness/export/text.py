"""The README of an export."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from harness import budget
from harness.export.choose import ExportChoice
from harness.records import ModelSpec
from harness.shown import markdown
from harness.units import joules, seconds

WIDTH = 110
NAMED = 10
"""Classes that the README names; all of them stand in session.json."""


ORT_FORMAT = (
    "- in ORT format, made of that artifact: it gives the same outputs, and was not measured itself",
    "- `required_operators_and_types.config`: for a reduced build, `build.sh --include_ops_by_config` of onnxruntime",
)


def readme(
    choice: ExportChoice,
    session: Mapping[str, Any],
    *,
    model: ModelSpec | None,
    licence: str,
    start: Sequence[str],
    below: str = "",
) -> str:
    """Markdown: what this is, why this build, how to run it, what it costs, whose it is."""
    row = choice.row
    by = session["measured_by"]
    runtime = f"{by.get('package') or by.get('name') or row['runtime']} {by.get('version') or ''}".strip()
    blocks = [
        f"# {markdown(row['case'])}",
        _wrapped(markdown(choice.why)),
        "```\n" + "\n".join(start) + "\n```",
        _wrapped(_checked(session)),
        "## Measured",
        "\n".join(f"- {line}" for line in _measured(row, runtime)),
        "## Session",
        "\n".join(f"- {line}" for line in _settings(session)),
        "## Before and after the model",
        "\n".join(f"- {line}" for line in _around(session["processing"], session["labels"])),
        "## Licence of the weights",
        _wrapped(markdown(licence)),
        "## Files",
        "\n".join(
            (
                f"- `{session['model']}`, and its external data if any: artifact {markdown(row['artifact']['digest'])}",
                *(ORT_FORMAT if session["model"].endswith(".ort") else ()),
                "- `session.json`: how the session is opened, what feeds it, what it is to give; for any language",
                "- `samples/`, `expected/`: inputs, and what they gave when this was exported",
                *([f"- the three above lie in `{below}/`, for the application to carry"] if below else []),
                "- `provenance.json`: the stored row with versions, host and commit, and a SHA-256 of every file",
            )
        ),
        *([f"Made of {markdown(model.source)}: {markdown(model.id)}."] if model is not None else []),
    ]
    return "\n\n".join(blocks) + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def _checked(session: Mapping[str, Any]) -> str:
    if session["unchecked"]:
        return f"It only runs the samples: {markdown(session['unchecked'])}."
    return (
        f"It feeds {session['samples']} samples and compares what comes out with what this build gave where it was "
        f"exported; numbers may lie apart by {session['tolerance']:.1%} of the largest, since other processors round "
        "in another order."
    )


def _measured(row: Mapping[str, Any], runtime: str) -> list[str]:
    latency, host = row["latency"], row.get("host") or {}
    low, high = latency.get("ci95_low_s"), latency.get("ci95_high_s")
    within = f" (95% interval {seconds(low)} to {seconds(high)})" if low is not None and high is not None else ""
    name = " ".join(str(host[key]) for key in ("name", "cpu") if host.get(key))
    commit = f"{row.get('commit') or 'none'}{' (changed tree)' if row.get('dirty') else ''}"
    reason = f": {markdown(row['reason'])}" if row.get("reason") else ""
    where = f"{markdown(row['target'])}, on {markdown(name or row['fingerprint'])}"
    held = row.get("weights") or {}
    weights = " ".join(filter(None, (held.get("kind") or "unknown", held.get("digest"))))
    energy = (row.get("energy") or {}).get("inference_j")
    took = f"{joules(energy)} for an inference, by {markdown(row['energy']['source'])}" if energy is not None else ""
    return [
        f"median {seconds(latency['median_s'])}{within}, {where}",
        f"by {markdown(runtime)}, run {markdown(row['run'])}, commit {markdown(commit)}",
        f"status {row['status']}{reason}; budget: {budget.judged(row).verdict}",
        f"weights {markdown(weights)}; {row['artifact']['bytes']:,} bytes",
        *filter(None, [took]),
    ]


def _around(said: Mapping[str, Any], labels: Sequence[Any]) -> list[str]:
    """What whoever feeds the model has to do, as far as the zoo states it."""
    if not said:
        lines = ["not known: no zoo has this model any more; `samples/` are inputs as it takes them"]
    else:
        lines = [
            *(
                f"input {markdown(one['name'])}: {markdown(one['dtype'])} {markdown(str(one['shape']))}"
                for one in said["inputs"]
            ),
            f"examples: {markdown(said['data'])}" + (f"; {_spoken(said['options'])}" if said["options"] else ""),
            *([f"pixels: {markdown(said['pixels'])}"] if said["pixels"] else []),
            f"task: {markdown(said['task'] or 'none, outputs are compared as they are')}",
            *([f"outputs that the task reads: {_spoken(said['reads'])}"] if said["reads"] else []),
            *([_classes(said["classes"])] if said["classes"] else []),
        ]
    return [*lines, *(["`labels/`: what is true of each example of the samples, in their order"] if labels else [])]


def _classes(names: Sequence[str]) -> str:
    """How many there are, and the first ones."""
    first = ", ".join(map(markdown, names[:NAMED]))
    return f"{len(names)} classes, from 0: {first}{' ...' if len(names) > NAMED else ''}"


def _settings(session: Mapping[str, Any]) -> list[str]:
    given = {
        "provider": session["provider"],
        "provider options": session["provider_options"],
        "graph optimization": session["optimization"],
        "intra-op threads": session["intra_threads"],
        "inter-op threads": session["inter_threads"],
        "config": session["config"],
        "free dimensions": session["dims"],
        "batch": session["batch"],
    }
    return [f"{name}: {_spoken(value)}" for name, value in given.items() if value not in ({}, None)]


def _spoken(value: Any) -> str:
    items = [f"{key} = {one}" for key, one in value.items()] if isinstance(value, Mapping) else [str(value)]
    return ", ".join(map(markdown, items))
