"""Fine-tunes a detector of ultralytics on a data source that draws its pictures, and keeps the weights by digest.

`python -m benchmarks.train` does it for the shipped `yolov8n_shapes`; so does its first build.
Every step sees pictures that were never seen before. The start is the pretrained network where it can be had, else a
fresh one. The loss is ultralytics' own; nothing is validated while training, since evaluation is harness's business.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paths, scratch, sealed
from harness import trained as files
from harness.data import shapes
from harness.errors import BuildError
from harness.installed import versions

if TYPE_CHECKING:
    from harness.records import ModelSpec

THREADS = 2

REVISION = 1
"""Raised by hand whenever the code here, or that of `data.shapes`, starts to give other pictures or other weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a detector is trained.

    Attributes:
        pictures: how many, each seen once.
        batch: of them in one step.
        size: of a picture's sides, in pixels.
        rate: the largest learning rate of AdamW, reached after a tenth of the steps.
    """

    pictures: int = 12_000
    batch: int = 16
    size: int = 128
    rate: float = 2e-3
    decay: float = 5e-4
    seed: int = 0


def trained(
    model: ModelSpec,
    start: Callable[[], tuple[Any, str]],
    say: Callable[[str], None] | None = None,
    train: Callable[[Any, Training, Callable[[str], None]], None] | None = None,
) -> tuple[Any, str]:
    """The network with trained weights (those that were kept, else trained now and kept), and what it started from.

    Args:
        model: the zoo entry.
        start: gives the network to start from, with as many classes as the data has, and the kind of its weights.
        say: hears of the progress.
        train: changes the network; `fit` where none is given.

    Raises:
        BuildError: the data source draws no pictures to train on, or the model takes others.
    """
    recipe = recipe_of(model)
    network, kind = start()
    place = kept(model, recipe, kind)
    say = say or _to_stderr
    if place.is_file():
        if not (damage := files.described(place, deep=True).damage):
            from safetensors.torch import load_file

            network.load_state_dict(load_file(place))
            sealed.mark_used(place)
            return network, kind
        say(f"{place} {damage}: the weights are trained again")
    (train or fit)(network, recipe, say)
    keep(network, place, f"{model.name}, {recipe.pictures} pictures of {model.data.source} from {kind} weights")
    return network, kind


def recipe_of(model: ModelSpec) -> Training:
    """How the zoo wants a model trained.

    Raises:
        BuildError: as `trained`.
    """
    if model.data.source != "shapes":
        raise BuildError(
            f"{model.name}: `weights: {{kind: trained}}` of an ultralytics model is trained on the data source "
            f"`shapes`, found `{model.data.source}`. Train with ultralytics and give `weights: {{path: best.pt}}`."
        )
    sides = model.inputs[0].shape[-2:]
    if len(set(sides)) != 1 or not isinstance(sides[0], int):
        raise BuildError(f"{model.name}: pictures to train on are square, and the input is {list(sides)}.")
    unknown = sorted(set(model.options) - {"pictures"})
    if unknown:
        raise BuildError(f"{model.name}: `options` has no `{unknown[0]}`; valid: pictures.")
    return Training(size=sides[0], seed=model.weights.seed, pictures=int(model.options.get("pictures", 12_000)))


def kept(model: ModelSpec, recipe: Training, start: str) -> Path:
    """Where the weights of a recipe lie, or will; named by all that they depend on."""
    content = {
        "id": model.id,
        "start": start,
        "recipe": asdict(recipe),
        "revision": REVISION,
        "versions": versions(("torch", "ultralytics", "numpy")),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return files.place(paths.cache_root(), digest)


def keep(network: Any, place: Path, made_by: str) -> None:
    """Write the weights, whole or not at all.

    Args:
        network: whose they are.
        place: where they go.
        made_by: what they are, for people.
    """
    from safetensors.torch import save

    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".tmp-{scratch.owner()}")
    state = {name: tensor.detach().contiguous().clone() for name, tensor in network.state_dict().items()}
    temporary.write_bytes(save(state, files.metadata(made_by, save(state))))
    temporary.replace(place)


def fit(network: Any, recipe: Training, say: Callable[[str], None], threads: int = THREADS) -> None:
    """Train a detector in place.

    Args:
        network: an ultralytics detection model.
        recipe: how.
        say: hears of the progress, about twenty times.
        threads: of torch, which change the last bits alone.
    """
    import torch
    from ultralytics.utils import DEFAULT_CFG

    torch.manual_seed(recipe.seed)
    torch.set_num_threads(threads)
    network.args = DEFAULT_CFG
    network.train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(".dfl" not in name)  # that layer's weights are the numbers 0 to 15, not learnt
    steps = max(1, recipe.pictures // recipe.batch)
    several = [one for one in network.parameters() if one.ndim > 1]
    single = [one for one in network.parameters() if one.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": several, "weight_decay": recipe.decay}, {"params": single, "weight_decay": 0.0}], lr=recipe.rate
    )
    warm = max(1, steps // 10)

    def share(step: int) -> float:
        """Of the largest learning rate: a straight line up, then half a cosine down."""
        return min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * max(0, step - warm) / max(1, steps - warm)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    started, reported = time.monotonic(), 0
    for step in range(steps):
        batch = batch_of(recipe, step)
        optimizer.zero_grad()
        loss, _ = network.loss(batch)
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        if step * 20 // steps >= reported or step == steps - 1:
            reported += 1
            spent = time.monotonic() - started
            say(f"step {step + 1} of {steps}, loss {float(loss.sum()) / recipe.batch:.3f}, {spent:.0f} s")
    network.load_state_dict(average.module.state_dict())
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)


def batch_of(recipe: Training, step: int) -> dict[str, Any]:
    """The pictures of one step, as ultralytics' loss takes them: boxes are centre and size, as shares of the sides."""
    import numpy as np
    import torch

    images, owners, classes, boxes = [], [], [], []
    for place in range(recipe.batch):
        number = step * recipe.batch + place
        pixels, label = shapes.picture(recipe.size, recipe.size, seed=recipe.seed, split="training", number=number)
        images.append(pixels.transpose(2, 0, 1))
        corners = label["boxes"] / recipe.size
        boxes.append(np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1))
        classes.append(label["classes"])
        owners.append(np.full(len(corners), place))
    return {
        "img": torch.from_numpy(np.stack(images).astype(np.float32) / 255),
        "batch_idx": torch.from_numpy(np.concatenate(owners).astype(np.float32)),
        "cls": torch.from_numpy(np.concatenate(classes).astype(np.float32)[:, None]),
        "bboxes": torch.from_numpy(np.concatenate(boxes).astype(np.float32)),
    }


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
