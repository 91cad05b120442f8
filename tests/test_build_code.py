"""What a callable's code is: its file, and all of its project that it imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness import source_files

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "pack/__init__.py": "raise RuntimeError('imported')",
    "pack/net.py": "from . import blocks\nfrom pack.sub import deep\nimport json, beside\n",
    "pack/blocks.py": "def block():\n    from .sub.late import x\n",
    "pack/sub/__init__.py": "",
    "pack/sub/deep.py": "import numpy",
    "pack/sub/late.py": "x = 1",
    "pack/unused.py": "y = 1",
    "beside.py": "import pack.net  # a circle",
    "json_like.py": "",
}
USED = {name for name in FILES if name not in ("pack/unused.py", "json_like.py")}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules on the path; importing any would fail."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_imports_are_followed_inside_the_project(project: Path) -> None:
    """Relative, absolute, late and circular imports; not the standard library, nor packages, nor what nobody uses."""
    found = source_files.closure("pack.net:build")

    assert USED == {path.relative_to(project).as_posix() for path in found.values()}


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_digest_follows_every_file_that_counts(project: Path, name: str) -> None:
    """A change of a helper is a change of the model; a change of a module that is not imported is none."""
    before = source_files.digest("pack.net:build")
    with (project / name).open("a") as file:
        file.write("\n# changed")

    assert (name in USED) == (before != source_files.digest("pack.net:build"))


def test_the_package_alone_counts_among_installed_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From site-packages only the callable's own package is followed: the others have versions."""
    root = tmp_path / "site-packages"
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "__init__.py").write_text("import other\nfrom mine import part")
    (root / "mine" / "part.py").write_text("")
    (root / "other.py").write_text("")
    monkeypatch.syspath_prepend(root)

    assert {"mine", "mine.part"} == set(source_files.closure("mine:build"))


def test_harness_is_one_file() -> None:
    """The network that harness ships does not change with the rest of harness."""
    assert {"harness.frameworks.digits_cnn"} == set(source_files.closure("harness.frameworks.digits_cnn:build"))


def test_a_file_that_is_no_python_is_taken_as_it_is(project: Path) -> None:
    """A syntax error is for the build to report; a callable without a file has no digest."""
    (project / "pack" / "net.py").write_text("def (")

    assert {"pack", "pack.net"} == set(source_files.closure("pack.net:build"))
    assert source_files.digest("no_such_module_anywhere:build") is None
