"""Whether a model hub can be reached, asked once and briefly. Standard library only: the parent asks as well."""

from __future__ import annotations

import os
import threading

LIMIT_S = 1.5
"""How long the one question may take, name resolution included."""

HUGGING_FACE = "https://huggingface.co/"
HUGGING_FACE_VARIABLE = "HF_ENDPOINT"
HUGGING_FACE_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What the frameworks that load from there have in common."""

known_answers: dict[str, str] = {}
"""What was found in this process, so that every hub is asked once."""


def remember(answers: dict[str, str]) -> None:
    """Take over what another process found, instead of asking again."""
    known_answers.update(answers)


def unreachable(url: str, limit_s: float = LIMIT_S) -> str:
    """Why a hub cannot be reached, or an empty string when it can. Asked once per process.

    Proxies of the environment are used. Any answer but a gateway's own refusal counts as reached. `HF_HUB_OFFLINE`
    says no without asking.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE is set"
    if url in known_answers:
        return known_answers[url]
    answer: list[str] = []
    # Name resolution knows no time limit of its own, so the question is asked in a thread that may be left behind.
    thread = threading.Thread(target=lambda: answer.append(_ask(url)), daemon=True)
    thread.start()
    thread.join(limit_s)
    known_answers[url] = answer[0] if answer else f"{url} did not answer within {limit_s:g} s"
    return known_answers[url]


def ask_all(urls: list[str]) -> None:
    """Ask several hubs at the same time, so that being offline costs one limit and not one for each."""
    threads = [threading.Thread(target=unreachable, args=(url,), daemon=True) for url in dict.fromkeys(urls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT_S)


def stay_offline() -> None:
    """Tell every hub client in this process to use local caches only."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["YOLO_OFFLINE"] = "true"


def _ask(url: str) -> str:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 # a framework's https, or the user's endpoint
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S):  # noqa: S310 # as above
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code < 500 and error.code != 407 else f"{url} answers {error.code}"  # noqa: PLR2004 # HTTP
    except (OSError, ValueError) as error:
        return f"{url} cannot be reached ({getattr(error, 'reason', error)})"
