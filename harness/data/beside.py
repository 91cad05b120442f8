"""Which test inputs lie beside an .onnx file, as ONNX keeps them: test_data_set_0, test_data_set_1 and so on."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = re.compile(r"test_data(?:_set)?_(\d+)")
ITS_NAME = "model.onnx"
"""What ONNX calls the file that the sets belong to; another is meant only where it is alone."""


def sets(folder: Path) -> tuple[Path, ...]:
    """The sets in a folder, in their order."""
    try:
        found = {int(match[1]): one for one in folder.iterdir() if (match := FOLDER.fullmatch(one.name))}
        return tuple(found[number] for number in sorted(found) if any(found[number].glob("*put_*.pb")))
    except OSError:
        return ()


def of_file(file: Path) -> tuple[Path, ...]:
    """The sets that belong to a file; none where they may be another one's."""
    others = [one for one in file.parent.glob("*.onnx") if one.name != file.name] if file.name != ITS_NAME else []
    return () if others else sets(file.parent)


def counts(file: Path) -> dict[str, int]:
    """How many examples of each split the sets of a file give; a single one evaluates."""
    found = len(of_file(file))
    return {"evaluation": found - found // 2} | ({"calibration": found // 2} if found > 1 else {})
