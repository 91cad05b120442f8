"""harness.cli.ending, pipes and harness.internal: how commands end, whatever happens inside."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import typer

import harness.cli
from harness import internal
from harness.cli import ending
from harness.errors import StoreError, UsageError, ZooError
from tests.conftest import Project, here

VERBS = tuple(command.name for command in harness.cli.app.registered_commands if command.name is not None)
ARGUMENTS = {"import": ["x"], "inspect": ["x"], "plot": ["latency"], "bisect": ["x", "--good", "a", "--bad", "b"]}
"""What some verbs cannot do without."""


def ended(function: Any, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard error of a command line that does this."""
    with pytest.raises(SystemExit) as end:
        ending.run(function)
    assert isinstance(end.value.code, int)
    return end.value.code, capsys.readouterr().err


def raising(error: BaseException) -> Any:
    """A command line of one verb that raises."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def verb() -> None:
        raise error

    return lambda: app([])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("wrong"), 2),
        (StoreError("full"), 2),
        (ZooError(["one", "two"]), 2),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 2),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/x']"), 2),
        (MemoryError(), 2),
        (ValueError("oh"), 70),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), 70),
        (RecursionError("deep"), 70),
        (EOFError("click takes it for the end of its input"), 70),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), 70),
        (typer.Exit(3), 3),
        (typer.Exit(1), 1),
        (SystemExit(4), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a verb that says so ends with 1: no error that nobody expected is taken for a regression."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    found, said = ended(raising(error), capsys)
    assert code == found
    assert code in ending.EXIT_CODES
    assert "Traceback" not in said
    assert (code == 70) == ("please report it" in said)


def test_the_traceback_is_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence on the terminal; version, command and traceback in the file that it names."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["harness", "results", "--all"])
    _, said = ended(raising(ValueError("oh\x1b[31m\nno")), capsys)
    assert "internal error" in said
    assert "\x1b" not in said
    found = re.search(r"traceback is in (\S+):", said)
    assert found is not None
    kept = Path(found[1]).read_text(encoding="utf-8")
    assert "ValueError: oh" in kept
    assert "'results', '--all'" in kept
    assert Path(found[1]).parent == tmp_path / internal.FOLDER


def test_no_folder_takes_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the traceback is part of the message: keeping it never fails itself."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "file" / "too"))
    code, said = ended(raising(ValueError("oh")), capsys)
    assert 70 == code
    assert "which no folder could keep" in said
    assert "ValueError: oh" in said


def test_an_error_without_a_text_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where asking it for its text raises."""

    class _Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert "_Mute: its text cannot be made (RuntimeError)" in internal.message(_Mute())


def test_old_files_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken nightly job fills no disk."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    for _ in range(internal.KEPT + 3):
        internal.message(ValueError("oh"))
    assert internal.KEPT == len(list((tmp_path / internal.FOLDER).iterdir()))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_ends_with_70(verb: str, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever a verb meets that nobody thought of."""

    def broken() -> None:
        raise ZeroDivisionError(verb)

    monkeypatch.setitem(harness.cli.VERBS, verb, broken)
    code, out, err = here(project.root, project.environment(), verb)
    assert (70, "") == (code, out)
    assert f"ZeroDivisionError: {verb}" in err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_nonsense_with_2(verb: str, project: Project) -> None:
    """An option that does not exist; nothing is printed on standard output."""
    code, out, err = project.here(verb, *ARGUMENTS.get(verb, []), "--no-such-option")
    assert (2, "") == (code, out)
    assert "no-such-option" in err


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("serve", "init", "doctor", "selftest")])
def test_every_verb_survives_a_folder_without_anything(verb: str, tmp_path: Path) -> None:
    """No zoo, no results, no git: a sentence and a documented exit code."""
    code, _, err = Project(tmp_path).here(verb, *ARGUMENTS.get(verb, []))
    assert code in ending.EXIT_CODES
    assert code not in (1, ending.EXIT_INTERNAL), err
    assert "Traceback" not in err


def test_the_table_is_in_the_documentation() -> None:
    """docs/reliability.md has a line for every exit code."""
    text = (Path(__file__).parents[1] / "docs/reliability.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE))
    assert {str(code): said for code, said in ending.EXIT_CODES.items()} == found


def piped(command: str, folder: Path, **more: str) -> tuple[int, str]:
    """A shell command line with a harness in it: exit code of the harness and standard error."""
    start = f"{sys.executable} -c 'from harness.cli import main; main()'"
    done = subprocess.run(
        ["bash", "-c", command.replace("harness", start, 1) + "; exit ${PIPESTATUS[0]}"],
        cwd=folder, env=os.environ | more, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("harness results --format json | true", 0, ""),
        ("harness results > /dev/full", 2, "No space left on device"),
        ("harness results --no-such-option 2>&1 | true", 2, ""),
        ("harness results >&-", 0, ""),
        ("harness results >&- 2>&-", 0, ""),
    ],
)
def test_streams_that_nobody_reads(command: str, code: int, said: str, tmp_path: Path) -> None:
    """A reader that leaves changes no exit code; a full device is said, and no traceback with it."""
    found, err = piped(command, tmp_path)
    assert code == found, err
    assert said in err
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@pytest.mark.parametrize(
    ("verb", "option", "code"), [("results", "--results", 0), ("history", "--results", 0), ("list", "--zoo", 2)]
)
def test_paths_that_are_not_utf8(verb: str, option: str, code: int, tmp_path: Path) -> None:
    """A name of bytes that no encoding has is shown, not raised."""
    name = os.fsdecode(b"a\xff\x1b[31m")
    found, out, err = Project(tmp_path).here(verb, option, name)
    assert code == found, err
    assert "a\\udcff\\x1b[31m" in out + err


def test_asv_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error in what the plugin replaces, and asv's own, which passes as it is."""
    from asv.util import ProcessError, UserError

    from harness.asv.errors import with_asv_errors

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))

    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(UserError, match=r"internal error.*ValueError: oh.*The traceback is in"):
        with_asv_errors(fail)(ValueError("oh"))
    with pytest.raises(UserError, match=r"^wrong$"):
        with_asv_errors(fail)(UsageError("wrong"))
    with pytest.raises(ProcessError):
        with_asv_errors(fail)(ProcessError(["git"], 1, "", ""))
