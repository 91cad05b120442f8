"""A runtime spec (see `harness.runtime_spec`) -> an interpreter that has that ONNX Runtime build.

Requirements and wheels get an environment of their own in the cache, with NumPy and nothing else that was not asked
for.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.flavours import FLAVOURS, PLAIN, normal
from harness.paths import typed
from harness.runtime_spec import CURRENT, GENAI, IREE, LITERT, OPENVINO, TVM, is_spec, named, unknown
from harness.runtimes import client, environments
from harness.runtimes.environments import Say, silent

__all__ = [
    "CURRENT", "FLAVOURS", "KIND", "Runtime", "is_spec", "looks_like_path", "name_of", "normal", "of_interpreter",
    "resolve", "resolve_other", "worker",
]  # fmt: skip

KIND = "runtimes"
"""The folder of the cache that runtimes lie in."""

VERSION = re.compile(r"==\s*(\d+)\.(\d+)[^*]*$")
NUMPY_2 = (1, 19)
"""The first onnxruntime whose wheels import with NumPy 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What executes artifacts: an interpreter with one onnxruntime build and NumPy in it.

    Attributes:
        spec: as it was asked for.
        package: the distribution that brought the module, such as `onnxruntime-gpu`; `onnxruntime` where a build
            without metadata did.
        installed: distribution -> version, of everything beside it.
        digest: equal for two runtimes only where timing both would time the same program.
    """

    spec: str
    python: str
    package: str
    version: str
    installed: Mapping[str, str]
    digest: str

    @property
    def worker(self) -> tuple[str, ...]:
        """The command that starts a worker on it."""
        return worker(self.python)


def worker(python: str) -> tuple[str, ...]:
    """The command that starts harness's worker in an interpreter."""
    return (python, *client.default_command()[1:])


def resolve(spec: str, root: Path, *, install: bool = True, say: Say = silent, beside: Sequence[str] = ()) -> Runtime:
    """The interpreter for a spec; made now where the cache does not have it.

    Args:
        spec: see `harness.runtime_spec`.
        root: the cache's folder.
        install: whether to install what the cache does not have.
        say: hears before something is installed, which takes from seconds to minutes.
        beside: further distributions, of plugins; an interpreter has to have them.

    Raises:
        UsageError: the spec is none, cannot be installed here, or its interpreter has no onnxruntime.
        StoreError: the cache cannot be written.
    """
    spec = spec.strip()
    if spec == CURRENT:
        return of_interpreter(sys.executable, spec)
    if spec.endswith(".whl"):
        return _installed(spec, _wheel(spec), root, install, say, beside)
    if is_spec(spec):
        return _installed(spec, {"requirement": spec.replace(" ", "")}, root, install, say, beside)
    if looks_like_path(spec):
        path = typed(spec)
        if not path.exists():
            raise UsageError(f"runtime {spec}: there is no such file; give the path of a Python interpreter")
        if path.is_dir():
            inside = environments.interpreter(path)
            hint = f"; give the interpreter in it: {inside}" if inside.exists() else ""
            raise UsageError(f"runtime {spec} is a folder, not an interpreter{hint}")
        found = of_interpreter(str(path.absolute()), spec)
        if missing := [name for name in beside if normal(name) not in map(normal, found.installed)]:
            raise UsageError(f"runtime {spec} lacks {' and '.join(missing)}: install it there with its pip")
        return found
    raise UsageError(f"runtime {unknown(spec)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distributions:
    """What a runtime that is not an onnxruntime is installed from.

    Attributes:
        own: the distributions that a version which is asked for is of; the last one says which it is.
        before, beside: further ones, which pip chooses before them and after them.
        module: what proves that it is there.
    """

    own: tuple[str, ...]
    before: tuple[str, ...] = ()
    beside: tuple[str, ...] = ("numpy",)
    module: str


MADE_OF: Mapping[str, Distributions] = {
    OPENVINO: Distributions(own=("openvino",), module="openvino"),
    IREE: Distributions(own=("iree-base-compiler[onnx]", "iree-base-runtime"), module="iree.runtime"),
    # onnx2tf first: it names one release of LiteRT, and pip would go back through its own releases for another.
    LITERT: Distributions(own=("ai-edge-litert",), before=("onnx2tf",), module="ai_edge_litert.interpreter"),
    GENAI: Distributions(own=("onnxruntime-genai",), beside=("onnx", "numpy"), module="onnxruntime_genai"),
    TVM: Distributions(own=("apache-tvm",), beside=("onnx", "numpy"), module="tvm.relax.frontend.onnx"),
}


def resolve_other(spec: str, root: Path, *, install: bool = True, say: Say = silent) -> Runtime:
    """As `resolve`, for one of `MADE_OF`, alone or with a version.

    Raises:
        UsageError, StoreError: as `resolve`.
    """
    requirement = spec.replace(" ", "")
    name = named(requirement)
    parts = MADE_OF[name]
    wanted = [*parts.before, *(f"{one}{requirement[len(name) :]}" for one in parts.own), *parts.beside]
    place = root.absolute() / KIND / environments.key_of({"requirement": requirement, "numpy": "numpy"})
    if not install and environments.known(place) is None:
        raise UsageError(f"runtime {spec} is not in the cache yet; a sweep installs it, as does: {command(spec)}")
    environment = environments.ensure(
        place, wanted, what=spec, prove=("numpy", parts.module), wheels_only=True, say=say
    )
    return Runtime(
        spec=spec,
        python=environment.python,
        package=name,
        version=next((v for one, v in environment.installed.items() if normal(one) == parts.own[-1]), "unknown"),
        installed=environment.installed,
        digest=environment.digest,
    )


def command(spec: str, beside: Sequence[str] = ()) -> str:
    """What installs a runtime into the cache."""
    return " ".join(["harness runtimes install", shlex.quote(spec), *(f"--plugin {name}" for name in beside)])


def of_interpreter(python: str, spec: str) -> Runtime:
    """The runtime that an interpreter already has.

    Raises:
        UsageError: it does not run, or has no onnxruntime or NumPy.
    """
    environment = environments.describe(python)
    version = _own_version(spec) if python == sys.executable else _version(python, spec)
    packages = [name for name in FLAVOURS if name in environment.installed]
    if len(packages) > 1:
        # They share one module: which of them a number belongs to shows in its version, if at all.
        fitting = [name for name in packages if environment.installed[name] == version]
        if len(fitting) != 1:
            raise UsageError(
                f"runtime {spec}: {python} has {' and '.join(packages)}, which overwrite each other. Uninstall all of "
                f"them, then install one"
            )
        packages = fitting
    return Runtime(
        spec=spec,
        python=python,
        package=packages[0] if packages else PLAIN,
        version=version,
        installed=environment.installed,
        # A build without metadata is known by where it lies.
        digest=environment.digest if packages else _digest(environment.digest, python),
    )


@functools.cache
def _own_version(spec: str) -> str:
    """`_version` of this interpreter, asked once."""
    return _version(sys.executable, spec)


def _version(python: str, spec: str) -> str:
    """The version of the onnxruntime that an interpreter imports.

    Raises:
        UsageError: it imports none, or no NumPy.
    """
    probe = environments.ask(
        python, "import json, numpy, onnxruntime\nprint(json.dumps([numpy.__version__, onnxruntime.__version__]))"
    )
    if probe.returncode:
        raise UsageError(
            f"runtime {spec}: {python} cannot import onnxruntime and numpy: {environments.last_lines(probe, 1)}. "
            f"Install both there, or name the build instead, such as onnxruntime==1.23.0"
        )
    return str(json.loads(probe.stdout.splitlines()[-1])[1])


def name_of(requirement: str) -> str:
    """The distribution that a requirement names, normalized; empty where it is a path or a URL."""
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    return normal(found[0]) if found else ""


def looks_like_path(text: str) -> bool:
    """Whether a text can only be a path: it has a separator, or names an existing file."""
    return "/" in text or "\\" in text or Path(text).is_file()


def _installed(
    spec: str, asked: Mapping[str, str], root: Path, install: bool, say: Say, beside: Sequence[str] = ()
) -> Runtime:
    requirement = asked.get("requirement") or asked["wheel"]
    numpy = "numpy<2" if _before_numpy_2(requirement) else "numpy"
    plugins = {"beside": " ".join(sorted(beside))} if beside else {}
    what = " with ".join([spec, *beside])
    place = root.absolute() / KIND / environments.key_of({**asked, "numpy": numpy, **plugins})
    if not install and environments.known(place) is None:
        raise UsageError(
            f"runtime {what} is not in the cache yet; a sweep installs it, as does: {command(spec, beside)}"
        )
    environment = environments.ensure(
        place, [requirement, numpy, *beside], what=what, prove=("numpy", "onnxruntime"), wheels_only=True, say=say
    )
    packages = [name for name in FLAVOURS if name in environment.installed]
    package = packages[0] if packages else PLAIN
    return Runtime(
        spec=spec,
        python=environment.python,
        package=package,
        version=environment.installed.get(package, "unknown"),
        installed=environment.installed,
        # Two builds of one's own may bear the same version.
        digest=_digest(environment.digest, asked["sha256"]) if "sha256" in asked else environment.digest,
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _wheel(spec: str) -> dict[str, str]:
    path = typed(spec).absolute()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"runtime {spec}: the wheel cannot be read: {error.strerror}") from error
    return {"wheel": str(path), "sha256": hashlib.sha256(content).hexdigest()}


def _before_numpy_2(requirement: str) -> bool:
    found = VERSION.search(requirement)
    return found is not None and (int(found[1]), int(found[2])) < NUMPY_2
