"""What asv's configuration says of commits: where they are shown."""

from __future__ import annotations

from pathlib import Path

from harness import foreign
from harness.errors import UsageError


def configuration(folder: Path) -> tuple[str, str]:
    """The link to a commit and the folder of asv's own pages, from `asv.conf.json`; empty where it does not say.

    Raises:
        UsageError: if the file is not a JSON object.
    """
    path = folder / "asv.conf.json"
    try:
        text = foreign.content(path).decode("utf-8-sig", errors="replace")
    except OSError:
        return "", ""
    except ValueError as error:
        raise UsageError(f"{path}: {error}; fix it, or run from another folder") from error
    try:
        found = foreign.mapping("\n".join(line for line in text.splitlines() if not line.strip().startswith("//")))
        url, html = found.get("show_commit_url", ""), found.get("html_dir", "html")
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path}: not a JSON object ({error}); fix it, or run from another folder") from error
    return (url if str(url).startswith(("http://", "https://")) else ""), str(html)
