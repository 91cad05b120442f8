"""Where pages lie: names that are safe as files and in addresses, whatever a model is called."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from urllib.parse import quote

LONGEST = 60


@lru_cache(maxsize=65_536)
def slug(name: str) -> str:
    """A file name for any text: what is readable of it, and a digest that keeps it unique."""
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-").lower()[:LONGEST]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")


def case(name: str) -> str:
    """The page of a case."""
    return f"cases/{slug(name)}.html"


def explained(name: str) -> str:
    """The page of what was explained of a case."""
    return f"explained/{slug(name)}.html"


def model(name: str) -> str:
    """The page of a model."""
    return f"models/{slug(name)}.html"


def raw(name: str) -> str:
    """The script that holds the raw distributions of a model."""
    return f"data/raw/{slug(name)}.js"


def series(identity: str) -> str:
    """The script that holds the charts of a series."""
    return f"data/series/{slug(identity)}.js"


def lines(metric: str) -> str:
    """The script that holds the lines of a metric's histories."""
    return f"data/history/{slug(metric)}.js"


def history(identity: str, metric: str) -> str:
    """The history page with one series opened."""
    return f"history.html#series={slug(identity)}&metric={quote(metric)}"


def address(url: str, text: str = "") -> str:
    """A link's target if it is a web address, else nothing: what a configuration says is not a script."""
    return url + text if url.startswith(("http://", "https://")) else ""


def made_apart(model: str) -> str:
    """The site of one model that `harness serve` makes when it is asked for."""
    return f"/-/models/{slug(model)}/index.html"
