"""The distributions of ONNX Runtime: one list, and nothing that knows fewer of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import flavours, provenance
from harness.asv import environments as of_asv
from harness.build import keys, packages
from harness.build.recipes import resolve_recipe
from harness.flavours import FLAVOURS, PLAIN, chosen, of_tag, tag
from harness.gate.sides.dependencies import PIN
from harness.init import requirement
from harness.installed import version_of
from harness.report.data import StoredRun
from harness.report.pages import why
from harness.runtimes import resolve
from harness.store.asv import environments
from harness.store.asv.reconcile import runtime
from harness.store.rows import to_row
from tests import outcomes, specs

VERSIONS = st.from_regex(r"[0-9]+\.[0-9]+\.[0-9]+(\.dev[0-9]+)?(\+(cu|abc)[0-9]+)?", fullmatch=True)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The distributions that seem to be installed: whatever the test puts here."""
    found: dict[str, str] = {}

    def distribution(name: str) -> SimpleNamespace:
        if name not in found:
            raise metadata.PackageNotFoundError(name)
        return SimpleNamespace(read_text=lambda _: f"Metadata-Version: 2.1\nName: {name}\nVersion: {found[name]}\n")

    monkeypatch.setattr(metadata, "distribution", distribution)
    yield found
    monkeypatch.undo()
    # What was said here must not reach other tests.
    version_of.cache_clear()


@pytest.mark.parametrize("name", FLAVOURS)
def test_an_upgrade_of_every_flavour_is_seen(name: str, installed: dict[str, str], tmp_path: Path) -> None:
    """It changes the digest of what onnxruntime makes, the stored versions and the name of asv's environment."""
    seen = []
    model = specs.file_model(tmp_path / "a.onnx")
    for version in ("1.31.1", "1.32.0"):
        installed[name] = version
        version_of.cache_clear()
        stored = provenance.versions(packages.distributions())
        assert version == stored[name]
        run = outcomes.run(versions={"python": "3.11.9", **stored})
        (environment,) = environments.environments([to_row(run, outcomes.measured())])
        assert f"-{name}{version}-" in environment
        assert (name, version) == requirement.onnxruntime()
        artifacts = keys.step_keys(model, resolve_recipe(specs.STATIC), "w")
        seen.append([*artifacts[1:], keys.reference_key(model, "w"), environment])
    assert all(before != after for before, after in zip(*seen, strict=True))


def stored(versions: dict[str, str]) -> StoredRun:
    """A run as the report knows it."""
    return StoredRun(
        id="r", started_at="", commit=None, dirty=False, commit_time=None, fingerprint="h", host={}, versions=versions,
        settings={}, cases=1,
    )  # fmt: skip


@pytest.mark.parametrize("name", FLAVOURS)
def test_every_flavour_can_be_asked_for_and_is_compared_first(name: str) -> None:
    """As a requirement, as a wheel, in files that nothing reads, and in the reasons for a change."""
    assert resolve.is_spec(f"{name}==1.31.1")
    assert resolve.is_spec(f"dist/{name.replace('-', '_')}-1.31.1-cp311-cp311-linux_x86_64.whl")
    assert f"{name}==1.31.1" == (PIN.search(f'RUN pip install "{name}==1.31.1"') or [""])[0]
    before, after = (stored({"a": a, name: version}) for a, version in (("1", "1.31.1"), ("2", "1.32.0")))
    assert (f"{name} 1.31.1 → 1.32.0", "a 1 → 2") == why.of_runs(before, after)
    assert (f"{name} 1.31.1", f"{name} 1.32.0") == (before.runtime, after.runtime)


def test_other_packages_are_no_flavour() -> None:
    """A name that only begins so installs another module."""
    assert not any(map(flavours.is_flavour, ("onnxruntime-extensions", "onnxruntime-tools", "onnxruntim", "ort")))
    assert flavours.is_flavour("ONNXRuntime_GPU")
    assert PIN.search("onnxruntime-extensions==0.13") is None


def test_the_distribution_is_preferred_to_the_name_of_the_module() -> None:
    """Where both stand there, and whatever else is installed."""
    assert ("onnxruntime-qnn", "2") == chosen({PLAIN: "1", "onnxruntime-qnn": "2", "numpy": "3"})
    assert ("ort-nightly", "2") == chosen({PLAIN: "1", "ort-nightly": "2"})
    assert (PLAIN, "1") == chosen({PLAIN: "1"})
    assert chosen({"numpy": "3"}) is None


@given(st.sampled_from(FLAVOURS), VERSIONS)
def test_tags_lead_back(name: str, version: str) -> None:
    """What asv's pages show says which distribution it was, also for versions with a local part."""
    assert (name, version) == of_tag(tag(name, version))
    assert flavours.label(name, version) == runtime(tag(name, version))
    assert version == flavours.version_in(flavours.label(name, version))


def test_tags_keep_their_form() -> None:
    """Series that exist go on."""
    assert ("1.31.1", "1.31.1+gpu") == (tag(PLAIN, "1.31.1"), tag("onnxruntime-gpu", "1.31.1"))


def test_asv_names_the_flavour_of_another_interpreter() -> None:
    """As it is installed there, with its version."""
    package, version = chosen(provenance.versions(packages.distributions())) or ("", "")
    assert f"{package}{version}" == of_asv.runtimes(sys.executable)


def test_no_other_list_is_kept() -> None:
    """A flavour's name stands in one file of the package; docs, messages and examples may name any."""
    root = Path(flavours.__file__).parent
    apart = "gpu|ep|node|web|cpp|java|android|genai"  # the plain one for CUDA, plugins, other languages and runtimes
    listed = re.compile(rf'^[^#]*"(onnxruntime-(?!{apart})\w+|ort-nightly[\w-]*)"', re.MULTILINE)
    found = {path.name for path in root.rglob("*.py") if listed.search(path.read_text(encoding="utf-8"))}
    assert {"flavours.py", "providers.py"} == found  # there as the names of plugins


def test_nothing_is_imported_for_it() -> None:
    """The list is standard library, so that everything may use it."""
    code = "import sys; import harness.flavours; print(sorted(m for m in sys.modules if m.startswith('harness')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "['harness', 'harness.flavours']" == done.stdout.strip()


def test_what_is_not_an_onnxruntime_has_a_tag_of_its_own() -> None:
    """OpenVINO itself never shares a series with the onnxruntime that is built for it."""
    assert "2026.1+openvino" == flavours.tag("onnxruntime-openvino", "2026.1")
    assert "openvino 2026.1" == flavours.tag("openvino", "2026.1")
    assert ("openvino", "2026.1") == flavours.of_tag("openvino 2026.1")


def test_a_version_is_that_of_the_packages_own_metadata() -> None:
    """Read without taking the whole of it apart; None of what is not installed."""
    for name in ("numpy", "PyYAML", "typer"):
        assert metadata.version(name) == version_of(name)
    assert version_of("not-installed-anywhere") is None
