"""Train a shipped model whose weights are trained here, keep them in the cache, and say how good they are.

    python -m benchmarks.train [MODEL] [--zoo FILE]

For `yolov8n_shapes` it takes minutes; the next sweep finds the weights. Prints processor time and, for a detector, mean
average precision on the evaluation pictures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from harness import frameworks, zoo
from harness.data import base as data
from harness.records import ModelSpec
from harness.tasks import find
from harness.tasks.base import Evaluated


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="yolov8n_shapes")
    parser.add_argument("--zoo", type=Path, default=Path("model_zoo.yaml"))
    given = parser.parse_args()
    models = zoo.load(given.zoo).models
    if given.model not in models:
        raise SystemExit(f"no model is called {given.model}; there are {', '.join(models)}")
    train(models[given.model])


def train(model: ModelSpec) -> None:
    """Load the model, which trains it where its weights are not kept, and evaluate it."""
    started, spent = time.monotonic(), time.process_time()
    loaded = frameworks.get(model.source).load(model)
    print(f"{model.name}: {loaded.weights.kind} weights {loaded.weights.digest[:12]} {loaded.weights.reason}")
    print(f"{time.monotonic() - started:.0f} s, {time.process_time() - spent:.0f} s of processor time")
    outputs: dict[str, list[object]] = {name: [] for name in loaded.outputs}
    labels = []
    for example in data.stream(data.DataRequest.of(model), "evaluation"):
        labels.append(example.label)
        for name, value in zip(loaded.outputs, loaded.run(example.feed), strict=True):
            outputs[name].append(value)
    task = find(model.task)
    answers = Evaluated(outputs=outputs, reference=outputs, labels=labels, roles=model.outputs)  # type: ignore[arg-type]
    for scored in task.measured(answers) if task is not None else ():
        one = scored.value
        print(f"{one.name} {one.value:.4f} [{one.low:.4f}, {one.high:.4f}] on {one.n} examples")


if __name__ == "__main__":
    main()
