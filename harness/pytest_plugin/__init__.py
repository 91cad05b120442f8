"""A pytest plugin that turns zoo cases into tests: `pytest --zoo model_zoo.yaml --models 'digits*'`.

Every case becomes one test, named by the case's id. It is measured as `harness sweep` measures it, its samples are
handed to pytest-benchmark where that is installed, and its budgets are assertions. Every pytest run of an environment
that has harness imports this module: only pytest and the standard library are imported before `--zoo` asks for more.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.pytest_plugin import options

if TYPE_CHECKING:
    from harness.flow.preview import Preview

EXAMPLE = "pytest --zoo model_zoo.yaml --models 'digits*' --variants fp32,int8-static"
PREVIEWS = pytest.StashKey[dict[Path, "Preview"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare `--zoo`; the other options exist only beside it, so that they cannot clash with anybody's own."""
    parser.getgroup("harness", "benchmarks of a model zoo (onnx-harness)").addoption(
        "--zoo",
        action="append",
        default=[],
        metavar="FILE",
        help="Collect one test per case of this zoo; may be given again. `pytest --zoo FILE --help` lists --models, "
        "--variants, --targets, --threads, --batch and the other options that go with it.",
    )


@pytest.hookimpl(trylast=True)  # after the conftests have declared theirs, so that a clash can be explained
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Declare the options that go with `--zoo`, where it is given."""
    if not early_config.known_args_namespace.zoo:
        return
    wanted = next((argument for argument in args if argument.startswith("--benchmark")), None)
    if wanted and not has_benchmark(early_config):
        raise pytest.UsageError(f"{wanted} needs pytest-benchmark, which is not loaded: pip install pytest-benchmark")
    options.declare(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read every zoo that is asked for, and make pytest collect it.

    Without folders or files on the command line the zoo is all that is collected.

    Raises:
        pytest.UsageError: with harness's own message, where a zoo or the selection is wrong.
    """
    if not config.option.zoo or config.option.help:
        return
    from harness import internal
    from harness.errors import HarnessError
    from harness.flow.preview import preview

    config.stash[PREVIEWS] = {}
    for given in config.option.zoo:
        path = real(config.invocation_params.dir / given)
        try:
            config.stash[PREVIEWS][path] = preview(options.request(config, path))
        except HarnessError as error:
            raise pytest.UsageError(f"--zoo {given}: {error}\nFor example: {EXAMPLE}") from error
        except Exception as error:
            said = internal.expected(error) or internal.message(error, doing=sys.argv)
            raise pytest.UsageError(f"--zoo {given}: {said}") from error
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []
    named = {real(config.invocation_params.dir / argument.partition("::")[0]) for argument in config.args}
    config.args += [str(path) for path in config.stash[PREVIEWS] if path not in named]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is going to be measured."""
    lines = []
    for path, ahead in config.stash.get(PREVIEWS, {}).items():
        count = "1 case" if len(ahead.plan.cases) == 1 else f"{len(ahead.plan.cases)} cases"
        lines.append(f"zoo: {path}, {count}" + (f", {len(ahead.missing)} variants to build" if ahead.missing else ""))
        lines += [f"zoo: left out {line}" for line in ahead.plan.pruned]
    if lines and not has_benchmark(config):
        lines.append("zoo: pytest-benchmark is not loaded: budgets are checked, timings are neither shown nor saved")
    return lines


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a zoo that was asked for; every other file is somebody else's."""
    previews = parent.config.stash.get(PREVIEWS, None)
    if not previews or real(file_path) not in previews:
        return None
    from harness.pytest_plugin.cases import ZooCollector

    asked = options.request(parent.config, real(file_path))
    ahead = previews[asked.zoo]
    return ZooCollector.of(parent, file_path, ahead, asked.cache, timed=has_benchmark(parent.config))


def real(path: Path) -> Path:
    """One name for a file, however it was written."""
    return path.resolve()


def has_benchmark(config: pytest.Config) -> bool:
    """Whether pytest-benchmark is installed and not switched off with `-p no:benchmark`."""
    return bool(config.pluginmanager.hasplugin("benchmark"))
