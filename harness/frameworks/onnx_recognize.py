"""What a file is that is called .onnx and is none, by how it begins. Standard library only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

HEAD = 4096
"""Bytes that are looked at."""

FETCH = "Fetch or export it again."
EXPORT = "Export the model to .onnx."

POINTER = rb"version https://git-lfs\.github\.com/spec/"

KINDS: Final = (
    (
        POINTER,
        "a Git LFS pointer, which only names the model",
        "Run `git lfs pull` where it was cloned, or fetch the file itself.",
    ),
    (
        rb".{4}ORTM",
        "an .ort file, onnxruntime's own format for one release and its optimizations",
        "Measure the .onnx file that it was made from.",
    ),
    (rb".{4}TFL3", "a TensorFlow Lite file", "Convert the model to .onnx, such as with tf2onnx."),
    (
        rb"\s*(<!doctype html|<html|<head|<\?xml|<script)",
        "a web page",
        "Its address gave a page instead of the file: fetch it again, logged in where that is asked for.",
    ),
    (
        rb"\s*((ir_version|producer_name)\s*:|(graph|opset_import)\s*\{|<\s*ir_version|\{\s*\"ir_?version\")",
        "ONNX written as text",
        "Save it as binary, such as onnx.save(onnx.load(path, format='textproto'), 'net.onnx').",
    ),
    (rb"\s*\{\s*\"", "JSON text", FETCH),
    (rb"PK\x03\x04", "a zip archive, such as PyTorch's own .pt files are", f"Unpack it. {EXPORT}"),
    (rb"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (rb"\x89HDF\r\n", "an HDF5 file, such as Keras' own .h5 files are", EXPORT),
    (rb"\x80[\x02-\x05]", "a Python pickle", EXPORT),
    (rb"GGUF", "a GGUF file", EXPORT),
    (rb"%PDF", "a PDF document", FETCH),
)
"""How a file begins, what it is then, and the way on."""


def otherwise(path: Path) -> str:
    """What a file is where it is not an .onnx file, and how to go on; empty where nothing speaks against it.

    Args:
        path: an existing file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return f"{path} is empty. {FETCH}"
    for begins, what, way in KINDS:
        if re.match(begins, head, re.IGNORECASE | re.DOTALL):
            return f"{path} is {what}, no .onnx file. {way}"
    return ""


def is_pointer(path: Path) -> bool:
    """Whether a file only names what Git LFS keeps elsewhere.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return re.match(POINTER, file.read(HEAD)) is not None
