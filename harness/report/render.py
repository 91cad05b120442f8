"""Pages to HTML, through Jinja2; everything is escaped, scripts' data included."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from html import escape
from importlib import resources
from typing import Any

from markupsafe import Markup

from harness import shown
from harness.report.parts import Cell, Page, Part, Table, script_json

STATIC = ("style.css", "theme.js", "tables.js", "filters.js", "charts.js", "history.js", "live.js")
"""What every page loads, in this order, beside plotly.js."""


@cache
def environment() -> Any:
    """The template engine."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["script"] = lambda value: Markup(script_json(value))  # noqa: S704  (escaped by script_json)
    found.filters["lines"] = lambda table, root: Markup(lines(table, root))  # noqa: S704  (escaped by lines)
    return found


def lines(table: Table, root: str = "") -> str:
    """The rows of a table as HTML; written here because most of a site is table cells, and templates are slow at them.

    Args:
        table: with its cells.
        root: the way from the page to the site's folder, put before addresses inside the site.
    """
    found = []
    for place, (cells, at, facets) in enumerate(table.lines()):
        known = "" if at is None else f' data-at="{at}"'
        known += f' data-rows="{" ".join(map(str, table.groups[place]))}"' if table.groups else ""
        known += "".join(f' data-facet-{name}="{escape(value)}"' for name, value in facets.items())
        found.append(f"<tr{known}>{''.join(_cells(cells, root, table.lead))}</tr>")
    return "\n".join(found)


def _cells(cells: Sequence[Cell], root: str, lead: int) -> Iterator[str]:
    """A row's cells; on a phone the first also says what the others that lead say, which are not seen there."""
    under = "\n".join(cell.text for cell in cells[1:lead])
    for place, cell in enumerate(cells):
        if place == 0 and under:
            yield _cell(cell, root, more=f' data-under="{_quoted(under)}"')
        elif 0 < place < lead:
            yield _cell(replace(cell, kind=f"{cell.kind} lead".strip()), root)
        else:
            yield _cell(cell, root)


def _cell(cell: Cell, root: str, more: str = "") -> str:
    kind = f' class="{_quoted(cell.kind)}"' if cell.kind else ""
    title = f' title="{_quoted(cell.title)}"' if cell.title else ""
    sort = f' data-sort="{_quoted(str(cell.sort))}"' if cell.sort is not None else ""
    inside = " ".join(_part(part, root) for part in cell.parts) or _linked(cell.text, cell.href, root)
    return f"<td{kind}{title}{sort}{more}>{inside}</td>"


def _part(part: Part, root: str) -> str:
    known = "" if part.at is None else f' data-rows="{part.at}"'
    return f'<span class="part"{known}>{_linked(part.text, part.href, root)}</span>'


def _linked(said: str, href: str, root: str) -> str:
    if not href:
        return _quoted(said)
    way = "" if href.startswith(("http", "../")) else root
    return f'<a href="{_quoted(way + href)}">{_quoted(said)}</a>'


SPECIAL = re.compile(r"[&<>\"']")


def _quoted(text: str) -> str:
    """Text that may stand anywhere in a page; most has nothing to escape, which is cheaper to see than to replace."""
    return escape(text) if SPECIAL.search(text) else text


def html(page: Page, site: Mapping[str, Any]) -> str:
    """One page.

    Args:
        page: what it says.
        site: what all pages share: navigation, when it was made, what was left out.
    """
    rendered: str = environment().get_template(page.template).render(page=page, site=site, **page.context)
    return shown.page(rendered)


def static(name: str) -> bytes:
    """A file of the `static` folder."""
    return (resources.files("harness.report") / "static" / name).read_bytes()


PLOTLY = "plotly-cartesian.min.js"
"""plotly.js with the charts on two axes: a third of the library that the Python package carries, and of the time that a
browser takes to read it. CONTRIBUTING.md says how to bring in a newer one."""


@cache
def plotly() -> bytes:
    """The charting library: one file for the whole site."""
    return static(PLOTLY)


@cache
def version() -> str:
    """A digest of everything that turns data into pages; a new one makes every page anew."""
    digest = hashlib.sha256()
    folder = resources.files("harness.report")
    for part in ("templates", "static", "figures", "pages", ""):
        for entry in sorted((folder / part).iterdir(), key=lambda entry: entry.name):
            if entry.is_file():
                digest.update(entry.name.encode() + entry.read_bytes())
    return digest.hexdigest()


def fragment(template: str, **context: Any) -> str:
    """A piece of HTML that a script puts into a page."""
    rendered: str = environment().get_template(template).render(**context)
    return shown.page(rendered)
