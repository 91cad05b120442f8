"""constraints.txt, how it is written, and what is said of versions that it does not have."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from harness import tested
from harness.cli import doctor
from harness.tested import KnownVersions, OtherVersion
from tests import constraints


def test_every_requirement_has_a_tested_version() -> None:
    """Inside its range in pyproject.toml, and without a local part, so that +cpu and CUDA's wheel both fit."""
    pins = tested.read().pins
    for requirement in (one for group in constraints.of_pyproject().values() for one in group):
        if requirement.name != constraints.OURS:
            pin = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pin), requirement
            assert pin == Version(pin).public
    assert len(pins) > 100


def test_a_wheel_for_the_cpu_and_one_for_cuda_fit_one_line() -> None:
    """As pip reads versions."""
    pin = SpecifierSet(f"=={tested.read().pins['torch']}")
    version = tested.read().pins["torch"]
    assert all(pin.contains(one) for one in (version, f"{version}+cpu", f"{version}+cu130"))


INSTALLED = {
    "torch": ("2.13.0+cpu", ("numpy", "triton; sys_platform == 'no such'")),
    "numpy": ("2.4.6", ()),
    "onnxruntime-gpu": ("1.31.1", ("numpy", "flatbuffers")),
    "flatbuffers": ("25.1", ("extra-only; extra == 'more'",)),
    "extra-only": ("1.0", ()),
    "unrelated": ("3", ()),
}


def test_what_is_installed_becomes_constraints() -> None:
    """What the roots lead to, extras and markers heeded; onnxruntime by the names of all platforms."""
    roots = {"": [Requirement("torch>=2.9"), Requirement("onnxruntime_gpu")], "zoo": [Requirement("absent")]}
    found = constraints.pinned(roots, INSTALLED.get)
    assert {
        "flatbuffers": "25.1",
        "numpy": "2.4.6",
        "onnxruntime": "1.31.1",
        "onnxruntime-gpu": "1.31.1",
        "torch": "2.13.0",
    } == found
    with_extra = constraints.pinned({"": [Requirement("flatbuffers"), Requirement("flatbuffers[more]")]}, INSTALLED.get)
    assert {"extra-only", "flatbuffers"} == {*with_extra}


def test_the_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    """From the package's folder, as a wheel has it; a folder without it knows nothing."""
    assert KnownVersions() == tested.read(tmp_path)
    text = "\n".join(constraints.lines({"numpy": "2.4.6", "torch": "2.13.0"}))
    (tmp_path / tested.NAME).write_text(text + "\n", encoding="utf-8")
    found = tested.read(tmp_path)
    assert {"numpy": "2.4.6", "torch": "2.13.0"} == found.pins
    assert found.python.startswith("3.")


def test_other_versions_are_named() -> None:
    """A local part makes it no other version; what is not installed is left out."""
    known = KnownVersions(pins={"numpy": "2.4.6", "torch": "2.13.0", "timm": "1.0"}, python="3.11")
    here = {"numpy": "2.5.0", "torch": "2.13.0+cpu"}.get
    assert () == tested.others(KnownVersions(pins={"torch": "2.13.0"}), version=here)
    found = tested.others(known, version=here, python="3.13.0")
    assert ["Python 3.13.0 (tested 3.11)", "numpy 2.5.0 (tested 2.4.6)"] == [str(one) for one in found]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((), ["all as tested (constraints.txt)"]),
        ((OtherVersion(name="numpy", installed="2.5", tested="2.4"),), ["numpy 2.5 (tested 2.4)"]),
    ],
)
def test_doctor_says_which(found: tuple[OtherVersion, ...], said: list[str]) -> None:
    """A line each, and the command that brings what was tested."""
    lines = doctor.untested(found)
    assert said == lines[: len(said)]
    assert bool(found) == ("-c constraints.txt" in lines[-1])


def test_the_constraints_travel_with_the_package() -> None:
    """The wheel and the sdist both hold them."""
    build = tomllib.loads((constraints.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert {"constraints.txt": "harness/constraints.txt"} == build["targets"]["wheel"]["force-include"]
    assert "constraints.txt" in build["targets"]["sdist"]["include"]


def test_ci_runs_what_was_tested_the_wheel_and_the_newest() -> None:
    """The job with the newest of everything may fail, the others not; the wheel is tried on every Python we name."""
    jobs = yaml.safe_load((constraints.ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert {"newest"} == {name for name, job in jobs.items() if job.get("continue-on-error")}
    steps = {name: " ".join(step.get("run", "") for step in job["steps"]) for name, job in jobs.items()}
    assert steps["tested"].strip() == ".ci/run"
    assert steps["newest"].strip() == ".ci/run newest"
    assert ".ci/wheel" in steps["wheel"]
    project = tomllib.loads((constraints.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [one.rpartition(" ")[2] for one in project["classifiers"] if ":: Python :: 3." in one]
    assert named == jobs["wheel"]["strategy"]["matrix"]["python"]


@pytest.mark.parametrize(("mode", "expected"), [("", "-c constraints.txt"), ("newest", "--upgrade")])
def test_ci_installs_with_the_command_of_the_readme(mode: str, expected: str) -> None:
    """As it stands, or with the newest versions in place of the tested ones: the lines of .ci/run that make it."""
    script = (constraints.ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    wanted = ("constraints=", '[ "${1:-}"', "command=", 'echo "+')
    lines = "\n".join(line for line in script if line.startswith(wanted))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines, "run", mode],
        cwd=constraints.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(f"+ python -m pip install {expected} -e '.[dev]' && pytest -n 3")
