"""Which onnxruntime reads what: the opset and the IR version of a file that is too new for the one that was asked.

Stands alone. From opset 22 and IR version 11 on as tried with the releases themselves (1.19.2 to 1.32.0); below, from
the table in onnxruntime's documentation on compatibility with ONNX.
"""

from __future__ import annotations

import re

OPSETS = {
    16: "1.11", 17: "1.12", 18: "1.14", 19: "1.15", 20: "1.17", 21: "1.18", 22: "1.21", 23: "1.23", 24: "1.24",
    25: "1.24", 26: "1.25",
}  # fmt: skip
"""Opset of ai.onnx -> the first release that reads it."""

IRS = {9: "1.15", 10: "1.18", 11: "1.23", 12: "1.24", 13: "1.24", 14: "1.32"}
"""IR version -> the first release that reads it."""

OPSET = re.compile(r"Opset (\d+) is under development.*?domain ai\.onnx is till opset (\d+)", re.DOTALL)
IR = re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)")


def needed(text: str) -> str:
    """What would read the file, if an error of onnxruntime says that it is too new; else empty."""
    for pattern, what, table in ((OPSET, "opset", OPSETS), (IR, "IR version", IRS)):
        found = pattern.search(text)
        if found:
            asked, most = int(found[1]), int(found[2])
            first = table.get(asked)
            able = f"onnxruntime {first} and later read it" if first else "no release that harness knows reads it"
            return f"{what} {asked}, and this release reads up to {most}: {able}"
    return ""
