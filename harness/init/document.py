"""The zoo that `init` writes, as a text and as what it says, and whether a zoo is one that `sweep` accepts."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from harness import scratch, zoo
from harness.errors import ZooError
from harness.zoo import text as texts

MODELS = "@MODELS@"


def template() -> str:
    """The text; `MODELS` stands for the entries."""
    return resources.files(__package__).joinpath("templates", "model_zoo.yaml.txt").read_text(encoding="utf-8")


def content() -> dict[str, Any]:
    """What it says, without models."""
    root, _ = texts.parse(template().replace(MODELS, ""), Path("model_zoo.yaml"))
    whole: dict[str, Any] = texts.plain(root)
    return whole


def refused(text: str) -> str:
    """Why a zoo of this text is refused; empty where it is accepted."""
    with scratch.folder("zoo") as folder:
        path = Path(folder) / "model_zoo.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            zoo.load(path)
        except ZooError as error:
            return "; ".join(problem.removeprefix(f"{path}:").partition(": ")[2] for problem in error.problems)
    return ""
