"""Every timed candidate as a point: time against how close it is, the front joined by a line. An SVG file, by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from harness.errors import UsageError
from harness.store import files
from harness.tune.model import TimedBuild, Tuned
from harness.units import in_seconds

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 480, 80, 200, 40, 60
EXACT_DB = 80.0
"""Where builds are drawn whose outputs are the reference's own."""


def save(path: Path, found: Tuned) -> None:
    """Write the figure.

    Raises:
        UsageError: the file is called otherwise than .svg.
        StoreError: it cannot be written.
    """
    require(path)
    files.write(path, svg(found).encode())


def require(path: Path) -> None:
    """Refuse a name that is none of an SVG file.

    Raises:
        UsageError: as said.
    """
    if path.suffix.lower() != ".svg":
        raise UsageError(f"--figure {path}: expected a name that ends in .svg")


def svg(found: Tuned) -> str:
    """The figure as text."""
    quality = {one.candidate.build: one for one in found.tried}
    points = []
    for one in found.timed:
        tried = quality.get(one.candidate.build)
        if one.example_s is None or tried is None or tried.closeness_db is None:
            continue
        points.append((one, one.example_s, min(tried.closeness_db, EXACT_DB)))
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
    title = f'<text x="{LEFT}" y="22" font-size="15">{escape(found.default.case.model.name)}: time and closeness</text>'
    if not points:
        return f'{head}{title}<text x="{LEFT}" y="60">no candidate was timed</text></svg>\n'
    across, up = _scale([x for _, x, _ in points]), _scale([y for _, _, y in points])
    factor, unit = in_seconds(max(x for _, x, _ in points))

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - across[0]) / (across[1] - across[0]) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - up[0]) / (up[1] - up[0]) * (HEIGHT - TOP - BOTTOM),
        )

    lines = [head, '<rect width="100%" height="100%" fill="white"/>', title]
    for place in range(5):
        x, y = (low + (high - low) * place / 4 for low, high in (across, up))
        px, py = at(x, y)
        lines.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py:.1f}" y2="{py:.1f}" stroke="#ddd"/>')
        lines.append(f'<text x="{px:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x * factor:.3g}</text>')
        lines.append(f'<text x="{LEFT - 8}" y="{py + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    lines.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 15}" text-anchor="middle">median, {unit}</text>')
    lines.append(f'<text x="14" y="{TOP - 8}">fidelity, dB ({EXACT_DB:g}: exact)</text>')
    where = {one.candidate.name: at(x, y) for one, x, y in points}
    front = [where[one.candidate.name] for one in found.front() if one.candidate.name in where]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in front)
    lines.append(f'<polyline points="{path}" fill="none" stroke="#777" stroke-dasharray="4 3"/>')
    lines += [_point(one, where[one.candidate.name], found, front) for one, _, _ in points]
    return "\n".join([*lines, "</svg>", ""])


def _point(one: TimedBuild, at: tuple[float, float], found: Tuned, front: Sequence[tuple[float, float]]) -> str:
    best = found.best is not None and one.candidate.name == found.best.name
    inside = one.excess == ""
    colour = "#0a7d38" if best else "#2f6fb3" if inside else "#c0392b"
    mark = f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{6 if best else 4}" fill="{colour}">'
    label = f'<text x="{at[0] + 8:.1f}" y="{at[1] + 4:.1f}">{escape(one.candidate.name)}</text>' if at in front else ""
    said = f"{one.candidate.name}: {one.candidate.why}: {one.excess or 'inside the budget'}"
    return f"{mark}<title>{escape(said)}</title></circle>{label}"


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis: a little beyond the values."""
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or max(math.fabs(high), 1e-9) * 0.1
    return low - room, high + room
