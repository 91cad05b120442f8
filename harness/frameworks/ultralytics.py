"""Detectors of ultralytics, by the name of their configuration, such as `yolov8n`.

ultralytics is AGPL-3.0: nothing else in harness imports it. Its weights are pickles and loading one
executes what it says, so only the file that the zoo names is loaded: `weights.path`, or the asset `<id>.pt` of
ultralytics' own release page.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import trained as files
from harness.data import shapes
from harness.errors import BuildError
from harness.frameworks import base, hub, torch_family
from harness.frameworks.compat import declare_missing_operators

if TYPE_CHECKING:
    from harness.records import ModelSpec


def load(model: ModelSpec) -> torch_family.TorchModel:
    """Build the network and give it its weights.

    Raises:
        MissingExtra: torch or ultralytics is not installed.
        BuildError: ultralytics has no such configuration, or required weights cannot be had.
    """
    url = FRAMEWORK.hub_url() or ""
    try:
        declare_missing_operators()
        if hub.unreachable(url):
            hub.stay_offline()  # before ultralytics is imported: it asks several hosts whether it is online
        from ultralytics import YOLO
    except ImportError as error:
        raise FRAMEWORK.missing(error) from error

    if model.weights.kind == "trained":
        choice, kept = _trained(model, url)
        return _finished(choice, model, {files.FOLDER: [kept.stem]})

    def fresh() -> Any:
        try:
            return YOLO(f"{model.id}.yaml", verbose=False).model
        except FileNotFoundError as error:
            raise BuildError(f"ultralytics has no configuration `{model.id}.yaml`.") from error

    def pretrained() -> Any:
        return YOLO(str(_asset(model, url)), verbose=False).model.float()

    return _finished(torch_family.choose(model, seeded=fresh, pretrained=pretrained, hub_url=url), model)


def _finished(choice: torch_family.Choice, model: ModelSpec, facts: Any = None) -> torch_family.TorchModel:
    for part in choice.module.modules():
        if hasattr(part, "export") and hasattr(part, "nc"):  # the head, whose export form has one plain output
            part.export, part.format, part.dynamic = True, "onnx", False
    return torch_family.finish(choice, model, head="output0", facts=facts)


def _trained(model: ModelSpec, url: str) -> tuple[torch_family.Choice, Path]:
    """The network fine-tuned on the model's data: from pretrained weights where they can be had, else from scratch.

    And where its weights are kept.

    Raises:
        BuildError: its data draws no pictures to train on, or there is no such configuration.
    """
    import torch
    from ultralytics import YOLO
    from ultralytics.nn.tasks import DetectionModel

    from harness.frameworks import ultralytics_training

    def start() -> tuple[Any, str]:
        torch.manual_seed(model.weights.seed)
        try:
            network = DetectionModel(f"{model.id}.yaml", nc=len(shapes.CLASSES), verbose=False)
        except FileNotFoundError as error:
            raise BuildError(f"ultralytics has no configuration `{model.id}.yaml`.") from error
        try:
            network.load(YOLO(str(_asset(model, url)), verbose=False).model.float(), verbose=False)
        except Exception:  # noqa: BLE001  # no hub and no local copy: from scratch, which the digest and the kind tell
            return network, "seeded"
        return network, "pretrained"

    network, kind = ultralytics_training.trained(model, start)
    reason = f"fine-tuned on {len(shapes.CLASSES)} classes of `shapes` from {kind} weights"
    kept = ultralytics_training.kept(model, ultralytics_training.recipe_of(model), kind)
    return torch_family.Choice(module=network, kind="trained", reason=reason), kept


def _asset(model: ModelSpec, url: str) -> Path:
    """The weights file that the zoo names, fetched beside torch's own downloads when it is not there."""
    if model.weights.path:
        return Path(model.weights.path)
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / f"{model.id}.pt"
    if path.is_file():
        return path
    if why := hub.unreachable(url):
        raise BuildError(why)
    from ultralytics.utils.downloads import attempt_download_asset

    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(attempt_download_asset(path))


FRAMEWORK = base.Framework(
    name="ultralytics",
    doc="detectors of ultralytics",
    id_doc="the name of its configuration, such as `yolov8n`",
    load=load,
    packages={"torch": "torch", "ultralytics": "ultralytics"},
    export_packages=torch_family.EXPORT_PACKAGES,
    exporter_packages=torch_family.EXPORTER_PACKAGES,
    options_doc="of `trained` weights: `pictures`, how many are trained on",
    extra="zoo",
    weights=("pretrained", "seeded", "trained"),
    hub="https://github.com/",
    licence="ultralytics, its architectures and its weights are AGPL-3.0: whoever ships them, or serves them over a "
    "network, needs to follow it or to have Ultralytics' enterprise licence.",
    environment={"YOLO_AUTOINSTALL": "false"},
    prepare=declare_missing_operators,
)
