"""How a runtime is written. Pure: nothing is looked for on the disk or in an index.

A spec is `current` (what is installed beside harness), a requirement (`onnxruntime==1.23.0`, `onnxruntime-openvino`),
a wheel of one's own build (`dist/onnxruntime-...-linux_x86_64.whl`), or the path of an interpreter. A target's runtime
may also be `onnxruntime` alone, which there means the same as `current`, or one of `OTHERS`, which are not an
onnxruntime.

In other languages it is `node`, `browser`, `cpp` or `java`, alone, with a version (`node==1.30.0`) or with the folder
that the library lies in (`cpp:/opt/onnxruntime`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

from harness.flavours import FLAVOURS, WHEELS, normal
from harness.paths import typed
from harness.suggest import suggest

CURRENT = "current"
OWN = "onnxruntime"
"""What a target has that says nothing else: the onnxruntime installed beside harness."""

LANGUAGES = ("node", "browser", "cpp", "java", "ssh", "android")
"""Runtimes in other languages than Python, see `harness.runtimes.languages`."""

DEVICES: Final = ("ssh", "android")
"""Those of them that run on another machine: what follows the colon is its name, and no folder."""

LANGUAGE = re.compile(
    rf"(?P<name>{'|'.join(LANGUAGES)})(?:==(?P<version>[0-9][A-Za-z0-9.+-]*)|:(?P<folder>.+))?", re.DOTALL
)

TORCH: Final = "torch"
TORCH_COMPILE: Final = "torch-compile"
OPENVINO: Final = "openvino"
IREE: Final = "iree"
LITERT: Final = "litert"
LITERT_TORCH: Final = "litert-torch"
GENAI: Final = "genai"
TVM: Final = "tvm"

OTHERS: Final[Mapping[str, tuple[str, ...]]] = {
    TORCH: ("cpu", "cuda"), TORCH_COMPILE: ("cpu", "cuda"), OPENVINO: ("cpu", "gpu", "npu"), IREE: ("cpu",),
    LITERT: ("cpu",), TVM: ("cpu",), GENAI: ("cpu",), LITERT_TORCH: ("cpu",),
}  # fmt: skip
"""Runtimes that are not an onnxruntime -> the devices that a target's `provider` may name."""

NETWORKS: Final = (TORCH, TORCH_COMPILE, LITERT_TORCH)
"""Those of them that run the framework's own network, in harness's own interpreter."""

REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*?)(?:\[[^\]]*\])?\s*(?P<range>(?:===|==|~=|!=|<=|>=|<|>).+)?"
)


_BOUND = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[0-9][A-Za-z0-9.+*!-]*"
_VERSIONED = re.compile(rf"[a-z-]+(?:\s*{_BOUND}(?:\s*,\s*{_BOUND})*)?")
"""One of `OTHERS`, with or without bounds of its release."""


def named(text: str) -> str:
    """The distribution that a requirement names, normalized; the text itself where it is not a requirement."""
    return normal((REQUIREMENT.fullmatch(text) or {"name": text})["name"])


def is_spec(text: str) -> bool:
    """Whether a text is meant as a runtime: `current`, a flavour of onnxruntime, or a wheel of it."""
    wheel = PurePath(text).name.startswith(WHEELS) and text.endswith(".whl")
    return text == CURRENT or named(text) in FLAVOURS or wheel


def is_own(text: str) -> bool:
    """Whether a target's runtime is the one installed beside harness."""
    return text in (OWN, CURRENT)


def language(text: str) -> tuple[str, str, str] | None:
    """The language, the version and the folder that a runtime names, such as `node==1.30.0`; None where it is Python.

    A folder follows the language and a colon, and brings the library instead of a package.
    """
    found = LANGUAGE.fullmatch(text.strip())
    return (found["name"], found["version"] or "", found["folder"] or "") if found else None


def other(text: str) -> str:
    """Which of `OTHERS` a target's runtime is, with or without a version; empty for an onnxruntime."""
    name = named(text.strip())
    return name if name in OTHERS else ""


def runs_network(text: str) -> bool:
    """Whether a runtime runs the framework's own network, and no artifact."""
    return other(text) in NETWORKS


def decodes_alone(text: str) -> bool:
    """Whether a runtime runs decoders and nothing else, so that no file of one node can try it."""
    return other(text) == GENAI


def problem_of_target(text: str) -> str:
    """Why a text cannot be a target's runtime; empty where it can."""
    text = text.strip()
    found = other(text)
    if found in NETWORKS and text != found:
        return f"{text!r}: write `{found}`; it is the torch that is installed beside harness, which loads the network"
    if found and not text.startswith(found):  # two spellings would be two environments, and two series
        return f"{text!r}: write `{found}{text[len(found) :]}`"
    if found and not _VERSIONED.fullmatch(text):
        return f"{text!r}: what follows `{found}` is a release, such as {found}==1.2.3"
    return "" if found or not problem(text) else unknown(text, (*LANGUAGES, *OTHERS))


def takes_no_options(text: str) -> bool:
    """Whether a runtime that is not an onnxruntime has no options of a provider."""
    return other(text) not in ("", OPENVINO)


def problem_of_host(runtime: str, host: str) -> str:
    """Why a target cannot run on a host that it names; empty where it can. A name that would be an option is none."""
    if runtime.strip() not in DEVICES:
        return f"goes with `runtime: {DEVICES[0]}` or `{DEVICES[1]}`, and the runtime is {runtime!r}"
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:@/-]*", host.strip()) is None or "@-" in host:
        return f"{host!r} is not a name: options of ssh belong into ~/.ssh/config"
    return ""


def is_path(text: str) -> bool:
    """Whether a spec names a file: a wheel, or something with a separator that is not a requirement."""
    return text.endswith(".whl") or ("/" in text or "\\" in text)


def problem(text: str) -> str:
    """Why a text cannot be a runtime; empty where it can. Files are not looked for."""
    return "" if language(text) or is_spec(text) or is_path(text) else unknown(text)


def unknown(text: str, words: Sequence[str] = LANGUAGES) -> str:
    """The sentence for a text that is not a runtime; `words` are those that name one which is not a Python package."""
    return (
        f"{text!r} is not a runtime: expected `current`, a build such as onnxruntime==1.23.0, a wheel, the path of "
        f"a Python interpreter, or {', '.join(words)}; {suggest(named(text), (*FLAVOURS, *words))}"
    )


def anchored(text: str, folder: Path) -> str:
    """A target's runtime as everybody reads it: one word for the own one, relative paths from `folder`."""
    spec = text.strip()
    if is_own(spec):
        return OWN
    if found := language(spec):
        name, _, place = found
        if name in DEVICES:
            return spec
        return f"{name}:{folder / typed(place)}" if place else spec
    return str(folder / typed(spec)) if is_path(spec) else spec
