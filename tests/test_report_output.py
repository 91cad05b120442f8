"""The folder that a site is written to."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report.output import Output, taken


def put(folder: Path, **content: str) -> Output:
    """A build of these files."""
    output = Output.open(folder)
    for name, text in content.items():
        output.put(f"{name}.html", text)
    output.close()
    return output


def test_files_that_are_right_are_not_written_again(tmp_path: Path) -> None:
    """Only what differs is touched."""
    put(tmp_path / "site", a="one", b="two")
    before = (tmp_path / "site" / "a.html").stat().st_mtime_ns
    second = put(tmp_path / "site", a="one", b="changed")
    assert (1, 1) == (second.written, second.kept)
    assert before == (tmp_path / "site" / "a.html").stat().st_mtime_ns
    assert "changed" == (tmp_path / "site" / "b.html").read_text(encoding="utf-8")


def test_pages_that_are_gone_are_removed(tmp_path: Path) -> None:
    """A case that is no longer stored leaves no page behind."""
    put(tmp_path / "site", a="one", b="two")
    put(tmp_path / "site", a="one")
    assert not (tmp_path / "site" / "b.html").exists()


def test_a_file_that_somebody_shortened_is_written_again(tmp_path: Path) -> None:
    """The list of a former build is not believed blindly."""
    put(tmp_path / "site", a="one")
    (tmp_path / "site" / "a.html").write_text("", encoding="utf-8")
    assert 1 == put(tmp_path / "site", a="one").written


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    """Nobody loses files to a wrong --out."""
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(UsageError, match="not a report"):
        Output.open(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        Output.open(tmp_path / "thesis.tex")


def test_an_interrupted_build_can_be_taken_up_again(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C need not delete the folder."""
    Output.open(tmp_path / "site").put("a.html", "one")
    assert 1 == put(tmp_path / "site", a="one").written


def test_a_list_that_points_outside_removes_nothing_there(tmp_path: Path) -> None:
    """A damaged or foreign list cannot make the build delete files elsewhere."""
    put(tmp_path / "site", a="one")
    (tmp_path / "precious").write_text("x", encoding="utf-8")
    (tmp_path / "site" / ".harness-report.json").write_text('{"../precious": "0"}', encoding="utf-8")
    put(tmp_path / "site", a="one")
    assert (tmp_path / "precious").exists()


def test_one_build_at_a_time_writes_a_folder(tmp_path: Path) -> None:
    """Another one waits, and goes on from what the first has left."""
    held, found = threading.Event(), []

    def second() -> None:
        held.wait()
        with taken(tmp_path / "site") as output:
            found.append(set(output.known))

    thread = threading.Thread(target=second)
    thread.start()
    with taken(tmp_path / "site") as output:
        held.set()
        output.put("a.html", "one")
        output.close()
    thread.join()
    assert [{"a.html"}] == found


def test_git_does_not_see_the_site(tmp_path: Path) -> None:
    """A site in the checkout must not make the tree differ from its commit: sweeps there would book nothing."""
    put(tmp_path / "site", a="one")
    assert "*\n" == (tmp_path / "site" / ".gitignore").read_text(encoding="utf-8")
