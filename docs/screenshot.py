"""Run a command in a terminal and save what it leaves on the screen as SVG.

python docs/screenshot.py docs/sweep.svg harness sweep --models digits_cnn
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 150


def recorded(command: list[str]) -> str:
    """What a command writes to a terminal of WIDTH columns, its colours kept."""
    os.environ |= {"COLUMNS": str(WIDTH), "LINES": "200", "TERM": "xterm-256color"}
    chunks: list[bytes] = []

    def read(descriptor: int) -> bytes:
        chunks.append(os.read(descriptor, 4096))
        return chunks[-1]

    pty.spawn(command, read)
    return b"".join(chunks).decode(errors="replace")


def screen(text: str) -> str:
    """The lines that are left in the end: a live line was erased and drawn anew many times."""
    lines: list[str] = []
    for raw in text.replace("\r\n", "\n").split("\n"):
        for _ in range(raw.count("\x1b[1A")):
            lines.pop()
        visible = re.split(r"\x1b\[2K", raw)[-1].split("\r")[-1]
        lines.append(re.sub(r"\x1b\[[0-9;?]*[A-JKSThlfnsu]", "", visible))
    return "\n".join(lines).strip("\n")


def main() -> None:
    """Record, and save."""
    out, *command = sys.argv[1:]
    console = Console(record=True, width=WIDTH, file=Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    console.print(Text(f"$ {shlex.join(command)}", style="bold"))
    console.print(Text.from_ansi(screen(recorded(command))))
    console.save_svg(out, title="onnx-harness")


if __name__ == "__main__":
    main()
