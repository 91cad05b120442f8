"""Git: the one module that runs it, and what it says as values of Python.

Names, paths and subjects are data. Every list is asked for with NULs between its parts, every name of a person's comes
behind `--end-of-options` or `--`, and nothing in a repository's or a person's configuration changes what is printed.
Hooks, file-system monitors and external diff programs of a checkout are not run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import processes
from harness.errors import UsageError

DEADLINE_S = 600.0
"""A checkout with large files takes minutes."""

OF_ANOTHER = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_ATTR_SOURCE", "GIT_COMMON_DIR", "GIT_DIR", "GIT_EXTERNAL_DIFF",
        "GIT_GLOB_PATHSPECS", "GIT_GRAFT_FILE", "GIT_ICASE_PATHSPECS", "GIT_INDEX_FILE", "GIT_LITERAL_PATHSPECS",
        "GIT_NAMESPACE", "GIT_NOGLOB_PATHSPECS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
    }
)  # fmt: skip
"""Variables that a hook or a CI job exports, and that would make git read another repository than the one meant."""

SETTINGS = (
    "color.ui=false",
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "core.quotePath=false",
    "core.warnAmbiguousRefs=false",
    "i18n.logOutputEncoding=UTF-8",
    "log.follow=false",
    "log.mailmap=false",
    "log.showSignature=false",
    "status.renames=false",
    "status.showUntrackedFiles=normal",
)
"""What would otherwise change output, or run a program that a checkout names."""

HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
SUFFIX = re.compile(r"[~^:]|@\{")
"""Where a revision's name ends and the way from there begins, as in `main~2`."""

SHORT_HASH = re.compile(r"(?:.+-[0-9]+-g)?([0-9a-f]{4,63})", re.DOTALL)
PSEUDO_REF = re.compile(r"[A-Z_]+")
"""`ORIG_HEAD` and its like lie beside HEAD, and git takes them before any ref."""

EVERY_COMMIT = ("--exclude=refs/stash", "--all")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitAnswer:
    """What a git command came to.

    Attributes:
        code: its exit status, or those of `harness.processes`.
        out: its standard output.
        error: what it said went wrong, on one line.
    """

    code: int
    out: bytes = b""
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.code == 0

    @property
    def line(self) -> str:
        """The output of a command that prints one line, without its end; empty where it failed."""
        return self.text.removesuffix("\n") if self.ok else ""

    @property
    def text(self) -> str:
        """The output as text for people; bytes that are not UTF-8 are replaced."""
        return self.out.decode("utf-8", errors="replace")

    @property
    def paths(self) -> tuple[str, ...]:
        """The parts of output with a NUL behind each, as names that files can be opened by."""
        return tuple(os.fsdecode(part) for part in self.out.split(b"\0") if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCommit:
    """A commit in a list."""

    commit: str
    short: str
    subject: str


def run(folder: Path, *arguments: str, stdin: bytes = b"", deadline_s: float = DEADLINE_S) -> GitAnswer:
    """Run git on the checkout around `folder`, and on no other, whatever a hook or a CI job has exported.

    Args:
        folder: any folder in it.
        arguments: of git; what comes from a person or a repository stands behind `--end-of-options` or `--`.
        stdin: what it reads.
        deadline_s: after which it is ended.
    """
    settings = [part for setting in SETTINGS for part in ("-c", setting)]
    command = ["git", "--no-pager", "-C", str(folder), *settings, *arguments]
    done = processes.run(command, deadline_s=deadline_s, stdin=stdin, environment=environment())
    said = " ".join(done.stderr.decode("utf-8", errors="replace").split())
    if done.returncode == processes.NOT_STARTED:
        said = f"git does not run here: {said}"
    return GitAnswer(code=done.returncode, out=done.stdout, error=said.removeprefix("fatal: "))


def environment() -> dict[str, str]:
    """The environment without what would point git at another repository, and in which it asks nobody anything."""
    kept = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}


# --- the checkout -----------------------------------------------------------------------------------


def top_of(folder: Path) -> Path | None:
    """The top folder of the checkout around `folder`; None outside git, or without git."""
    answer = run(folder, "rev-parse", "--show-toplevel")
    name = os.fsdecode(answer.out).removesuffix("\n") if answer.ok else ""
    return Path(name) if name else None


def why_none(folder: Path) -> str:
    """Git's words for why a folder is in no checkout: there is none, or it belongs to another user."""
    answer = run(folder, "rev-parse", "--show-toplevel")
    return answer.error or f"exit code {answer.code}"


def refused(folder: Path) -> str:
    """Why git reads nothing of a checkout that is there, because it belongs to another user; empty where it does."""
    answer = run(folder, "rev-parse", "--show-toplevel")
    return answer.error if not answer.ok and "safe.directory" in answer.error else ""


def prefix_of(folder: Path) -> str:
    """Where a folder lies in its checkout, with a slash at its end; empty at the top and outside git."""
    answer = run(folder, "rev-parse", "--show-prefix")
    return os.fsdecode(answer.out).removesuffix("\n") if answer.ok else ""


def common_dir(folder: Path) -> str:
    """The folder that all worktrees of a repository share."""
    answer = run(folder, "rev-parse", "--path-format=absolute", "--git-common-dir")
    return os.fsdecode(answer.out).removesuffix("\n") if answer.ok else ""


def git_dir(folder: Path) -> Path | None:
    """Git's own folder of a checkout; None outside git."""
    answer = run(folder, "rev-parse", "--absolute-git-dir")
    return Path(os.fsdecode(answer.out).removesuffix("\n")) if answer.ok else None


def is_shallow(folder: Path) -> bool | None:
    """Whether the clone lacks older commits; None outside git."""
    answer = run(folder, "rev-parse", "--is-shallow-repository")
    return answer.line == "true" if answer.ok else None


def configured(folder: Path, name: str) -> str:
    """A value of git's configuration, such as `user.name`; empty where there is none."""
    return run(folder, "config", "--get", "--", name).line.strip()


def remote_url(folder: Path, remote: str = "origin") -> str:
    """The address of a remote; empty where there is none."""
    return run(folder, "remote", "get-url", "--", remote).line


def remotes(folder: Path) -> tuple[str, ...]:
    """The names of the remotes, `origin` first where there is one."""
    found = run(folder, "remote")
    return tuple(sorted(found.text.split("\n")[:-1], key=lambda name: name != "origin")) if found.ok else ()


def branch(folder: Path) -> str:
    """The branch that is checked out, before its first commit as well; empty where none is."""
    return run(folder, "symbolic-ref", "--quiet", "--short", "HEAD").line


# --- revisions and refs -----------------------------------------------------------------------------


def commit_of(folder: Path, revision: str) -> str:
    """The full hash of the commit that a revision names; empty where git knows none."""
    if not revision or "\0" in revision:
        return ""
    # What is behind `:/` is text to search for, to its end; what it finds is a commit.
    name = revision if revision.startswith(":/") else f"{revision}^{{commit}}"
    found = run(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", name).line
    return found if HASH.fullmatch(found) else ""


def one_commit(folder: Path, revision: str, *, asked: str = "", form: str = "") -> str:
    """The full hash of the one commit that a revision can name; empty where git knows none.

    Args:
        folder: any folder in the checkout.
        revision: what git is asked.
        asked: how a person wrote it, where that is not the same.
        form: what may stand before a revision where it was asked for.

    Raises:
        UsageError: it can name several, such as a tag and a branch of one name.
    """
    commit = commit_of(folder, revision)
    if commit and len(named := refs_named(folder, revision)) > 1:
        way = revision[len(SUFFIX.split(revision)[0]) :]
        ways = " or ".join(f"{form}{ref}{way}" for ref in named)
        raise UsageError(f"{asked or revision} names {len(named)} refs here; write {ways}")
    return commit


def full_name(folder: Path, revision: str) -> str:
    """The ref that a revision names, such as `refs/heads/main`; empty where it is another kind of name."""
    answer = run(folder, "rev-parse", "--verify", "--quiet", "--symbolic-full-name", "--end-of-options", revision)
    return answer.line if answer.line.startswith("refs/") else ""


def refs_named(folder: Path, revision: str) -> dict[str, str]:
    """What the name in a revision can stand for, each with its commit: refs, and hashes that git finds without one.

    More than one is an ambiguity: `main` can be a tag, a branch and a remote's branch at once, `origin` a branch and
    what a remote's HEAD names, and a branch may be called like git's own `FETCH_HEAD`, like another commit's
    abbreviated hash, or like what `git describe` says of one.
    """
    name = SUFFIX.split(revision, maxsplit=1)[0]
    if not name or name in ("HEAD", "@") or HASH.fullmatch(name):
        return {}
    wanted = [name] if name.startswith("refs/") else []
    wanted += [f"refs/{kind}" for kind in (name, f"tags/{name}", f"heads/{name}", f"remotes/{name}")]
    wanted.append(f"refs/remotes/{name}/HEAD")
    there = set(refs(folder, *wanted))
    found = {ref: commit_of(folder, ref) for ref in wanted if ref in there}
    if found:
        first = [commit_of(folder, name)] if PSEUDO_REF.fullmatch(name) else []
        found |= {commit: commit for commit in (*first, *_abbreviated(folder, name)) if commit not in found.values()}
    return {ref: commit for ref, commit in found.items() if commit}


def _abbreviated(folder: Path, name: str) -> tuple[str, ...]:
    """The commits whose hashes a name abbreviates, also at the end of what `git describe` says."""
    short = SHORT_HASH.fullmatch(name)
    if short is None or name.startswith("refs/"):
        return ()
    answer = run(folder, "rev-parse", f"--disambiguate={short[1]}")
    return tuple(one for one in answer.text.split() if is_commit(folder, one)) if answer.ok else ()


def refs(folder: Path, *below: str, short: bool = False) -> tuple[str, ...]:
    """The names of refs, those below certain folders of them (`refs/heads`) where some are given."""
    shown = "%(refname:short)" if short else "%(refname)"
    answer = run(folder, "for-each-ref", f"--format={shown}%00", "--", *below)
    return tuple(name for part in answer.text.split("\0") if (name := part.removeprefix("\n"))) if answer.ok else ()


def is_commit(folder: Path, commit: str) -> bool:
    """Whether the clone has a commit, by its full hash."""
    return bool(HASH.fullmatch(commit)) and run(folder, "cat-file", "-t", commit).line == "commit"


def merge_base(folder: Path, one: str, other: str) -> str:
    """The newest commit that two commits have in common; empty where they have none, or the clone does not say."""
    answer = run(folder, "merge-base", "--end-of-options", one, other)
    return answer.text.split()[0] if answer.ok and answer.out.strip() else ""


# --- commits ----------------------------------------------------------------------------------------


def author_time(folder: Path, commit: str) -> int | None:
    """When a commit was written, in seconds since the epoch; None where git does not say."""
    answer = run(folder, "log", "--no-walk", "-z", "--format=%at", "--end-of-options", commit, "--")
    text = answer.text.rstrip("\0\n")
    return int(text) if answer.ok and re.fullmatch(r"-?\d+", text) else None


def subjects(folder: Path, commits: Sequence[str]) -> dict[str, str]:
    """First lines of commit messages, for those commits that the repository has."""
    asked = "".join(f"{commit}\n" for commit in commits if HASH.fullmatch(commit))
    if not asked:
        return {}
    known = run(folder, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked.encode())
    there = [line.split(" ")[0] for line in known.text.split("\n") if line.endswith(" commit")]
    if not there:
        return {}
    stdin = "".join(f"{commit}\n" for commit in there).encode()
    logged = run(folder, "log", "--no-walk=unsorted", "--stdin", "-z", "--format=%H%x00%s", stdin=stdin)
    return dict(_rows(logged, 2))


def first_parents(folder: Path, last: str) -> tuple[LoggedCommit, ...]:
    """The commits up to `last` along first parents, oldest first."""
    logged = run(
        folder, "log", "--first-parent", "--reverse", "-z", "--format=%H%x00%h%x00%s", "--end-of-options", last, "--"
    )
    return tuple(LoggedCommit(commit=row[0], short=row[1], subject=row[2]) for row in _rows(logged, 3))


def every_commit(folder: Path) -> tuple[str, ...] | None:
    """All commits of all refs, parents before children; None outside git."""
    answer = run(folder, "rev-list", "--topo-order", "--reverse", *EVERY_COMMIT)
    return tuple(answer.text.split()) if answer.ok else None


def not_older(folder: Path, commit: str) -> tuple[str, ...]:
    """A commit, and all of all refs that cannot be reached from its parents."""
    # `REV^@` stands for all parents of REV, also where it has none.
    return tuple(run(folder, "rev-list", *EVERY_COMMIT, commit, "--not", f"{commit}^@").text.split())


def adding(folder: Path, path: str) -> tuple[str, ...]:
    """Short hashes of the commits before HEAD that added a path (relative to `folder`), newest first."""
    return tuple(run(folder, "log", "--diff-filter=A", "--no-renames", "--format=%h", "HEAD", "--", path).text.split())


# --- files ------------------------------------------------------------------------------------------


def changed_files(top: Path, own: Iterable[str] = ()) -> tuple[str, ...] | None:
    """Paths that differ from HEAD or are untracked, below the top folder; None where git does not say.

    Args:
        top: the top folder.
        own: paths that do not count.
    """
    answer = run(top, "status", "--porcelain", "-z", "--no-renames", "--", *all_but(own))
    return tuple(entry[3:] for entry in answer.paths if entry[:2].strip()) if answer.ok else None


def tracked_unchanged(top: Path) -> bool:
    """Whether every file that git tracks is as its commit has it."""
    answer = run(top, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=no")
    return answer.ok and not answer.out


def listed_files(folder: Path, *patterns: str) -> tuple[str, ...]:
    """Files that are tracked, or neither tracked nor ignored, relative to `folder`; those of some pathspecs."""
    answer = run(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns)
    return answer.paths if answer.ok else ()


def all_but(names: Iterable[str]) -> list[str]:
    """Pathspecs of everything below the folder that git runs in but these files and folders."""
    return [".", *(f":(exclude,literal){name}" for name in names)]


def is_ignored(folder: Path, path: Path) -> bool:
    """Whether git ignores a file."""
    return run(folder, "check-ignore", "--quiet", "--", str(path)).ok


def file_at(folder: Path, commit: str, path: str) -> bytes | None:
    """The content of a file in a commit, its path from the top folder; None where the commit has no such file."""
    answer = run(folder, "cat-file", "blob", f"{commit}:{path}") if HASH.fullmatch(commit) else GitAnswer(code=1)
    return answer.out if answer.ok else None


# --- worktrees --------------------------------------------------------------------------------------


def add_worktree(top: Path, folder: Path, commit: str) -> GitAnswer:
    """Check a commit out into a folder of its own, detached."""
    return run(top, "worktree", "add", "--force", "--detach", "--end-of-options", str(folder), commit)


def prune_worktrees(top: Path) -> None:
    """Forget worktrees whose folders are gone."""
    run(top, "worktree", "prune")


def _rows(answer: GitAnswer, width: int) -> list[list[str]]:
    """Records of so many parts, each part with a NUL behind it; a record that was cut off is left out."""
    parts = answer.text.split("\0")[:-1] if answer.ok else []
    return [parts[at : at + width] for at in range(0, len(parts) - width + 1, width)]
