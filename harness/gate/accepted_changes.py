"""Changes that somebody accepted: a small file beside the zoo, written by `harness gate --accept`, read by reviewers.

An entry silences one change and no later one: it names the commits that the change lies between and the largest ratio
(or the worst value) that it covers. It applies only to a comparison whose own commits enclose that change. Once the
base contains the change, it is part of what head is compared with, and the entry has no effect any more.
"""

from __future__ import annotations

import datetime as dt
import getpass
import hashlib
import json
import math
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from harness import git
from harness.errors import UsageError
from harness.gate.model import CaseVerdict, Finding, Report, Side, Verdict, whole
from harness.gate.sides.build import is_named
from harness.gate.text.phrases import short
from harness.gate.text.sentences import earlier_name
from harness.special_files import require_plain
from harness.store import files
from harness.suggest import suggest

ALARMS = frozenset({Verdict.REGRESSION})
"""Verdicts that can be accepted: a failure or a doubt is not a change."""

COMMITTED = frozenset({"commit", "tree"})
"""Kinds of sides that a commit tells from others."""

LARGER_IS_BETTER = frozenset({"accuracy", "fidelity"})

Contains = Callable[[str, str], bool | None]
"""`contains(commit, other)`: whether `other` is `commit` or one of its ancestors; None where git cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One accepted change.

    Attributes:
        case, metric: as a report names them.
        before, after: the change lies after the one and not after the other: commits, or what the sides were called
            where they are not commits (such as `onnxruntime==1.22.1`).
        up_to: the largest ratio (head over base) that it covers; None where the metric is not a ratio.
        worst: the worst value of head that it covers, for metrics with values but without a ratio.
        finding: what was found, for people; a metric with neither ratio nor value must be found in these words again.
        reason, who, when: why it is accepted, by whom, and the day (ISO 8601).
        until: the last day on which it applies; None sets no end.
    """

    case: str
    metric: str
    before: str
    after: str
    finding: str
    reason: str
    who: str
    when: str
    up_to: float | None = None
    worst: float | None = None
    until: str | None = None


def apply(report: Report, accepted: Sequence[Accepted], *, contains: Contains, today: str) -> Report:
    """The report with accepted findings marked: they stay visible and fail nothing.

    Args:
        report: as it was judged.
        accepted: the file's entries.
        contains: how commits follow one another.
        today: ISO 8601, for entries that end.
    """
    if not accepted:
        return report
    notes: list[str] = []
    cases = tuple(_apply(report, case, accepted, contains, today, notes) for case in report.cases)
    return replace(report, cases=cases, notes=(*report.notes, *dict.fromkeys(notes)))


def entries(
    report: Report, case: str, *, metric: str | None, reason: str, who: str, when: str, until: str | None = None
) -> tuple[Accepted, ...]:
    """What accepting a case's regressions writes down: one entry for each metric that got worse.

    Raises:
        UsageError: if there is no such case, it has no regression, or the change cannot be tied to commits.
    """
    # Earlier reports said `m/v on cpu-t1`; elsewhere a batch of 1 may be omitted.
    names = ((one, (one.name, earlier_name(one.name))) for one in report.cases)
    found = next((one for one, known in names if case in known or is_named(case, one.name)), None)
    if found is None:
        raise UsageError(f"--accept {case}: {_no_such_case(report, case)}")
    alarms = [f for f in found.findings if f.verdict in ALARMS and metric in (None, f.metric)]
    if not alarms:
        of_metric = f" of {metric}" if metric else ""
        raise UsageError(
            f"--accept {case}: the gate found no regression{of_metric} there (it is: {found.verdict.value}), "
            "so there is nothing to accept"
        )
    return tuple(
        Accepted(
            case=found.name,
            metric=finding.metric,
            before=before,
            after=after,
            finding=finding.sentence,
            reason=reason,
            who=who,
            when=when,
            until=until,
            up_to=_up_to(finding),
            worst=finding.head if _up_to(finding) is None else None,
        )
        for finding in alarms
        for before, after in [_between(report, finding)]
    )


def merged(old: Sequence[Accepted], new: Sequence[Accepted]) -> tuple[Accepted, ...]:
    """Entries in the order of the file; a new one takes the place of one for the same change."""
    kept = {_identity(entry): entry for entry in (*old, *new)}
    return tuple(sorted(kept.values(), key=_identity))


def covers(entry: Accepted, finding: Finding, between: tuple[str, str], contains: Contains) -> bool | None:
    """Whether an entry is about this finding of its case; None where git cannot tell how their commits lie.

    The two ranges of commits must overlap: the end of one lies inside the other.
    """
    if entry.metric != finding.metric or not _no_worse(entry, finding):
        return False
    before, after = between
    inside = _inside(entry.after, before, after, contains), _inside(after, entry.before, entry.after, contains)
    if True in inside:
        return True
    return None if None in inside else False


def _apply(
    report: Report,
    case: CaseVerdict,
    accepted: Sequence[Accepted],
    contains: Contains,
    today: str,
    notes: list[str],
) -> CaseVerdict:
    mine = [entry for entry in accepted if entry.case == case.name]
    if not mine or not any(finding.verdict in ALARMS for finding in case.findings):
        return case
    findings = []
    for finding in case.findings:
        entry = _entry_for(report, finding, mine, contains, today, notes) if finding.verdict in ALARMS else None
        findings.append(replace(finding, verdict=Verdict.PASS, accepted=_why(entry)) if entry else finding)
    if findings == list(case.findings):
        return case
    verdict = whole(findings, report.settings) if case.verdict in ALARMS else case.verdict
    return replace(case, findings=tuple(findings), verdict=verdict)


def _entry_for(
    report: Report,
    finding: Finding,
    mine: Sequence[Accepted],
    contains: Contains,
    today: str,
    notes: list[str],
) -> Accepted | None:
    between = _ends(report, finding)
    for entry in mine:
        if between is None or not all(between) or entry.metric != finding.metric:
            continue
        covered = covers(entry, finding, between, contains)
        if covered and entry.until is not None and today > entry.until:
            notes.append(f"{entry.case}: the {entry.metric} change was accepted until {entry.until} only")
        elif covered:
            return entry
        elif covered is None:
            notes.append(
                f"{entry.case}: whether the change accepted at {short(entry.after)} is this one is not known, since "
                "git does not know that commit here (a shallow clone needs fetch-depth: 0)"
            )
    return None


def _why(entry: Accepted) -> str:
    # The address stays in the file: reports are read by more people.
    return f"{entry.reason} ({entry.who.partition(' <')[0]}, {entry.when})"


def _no_worse(entry: Accepted, finding: Finding) -> bool:
    ratio = _ratio(finding)
    if entry.up_to is not None:
        # What a noisier host cannot tell from the accepted change is not called a larger one.
        return ratio is not None and min(ratio, finding.low or ratio) <= entry.up_to
    if entry.worst is not None:
        if finding.head is None:
            return False
        return finding.head >= entry.worst if entry.metric in LARGER_IS_BETTER else finding.head <= entry.worst
    return finding.sentence == entry.finding


def _up_to(finding: Finding) -> float | None:
    """The largest ratio that is still the same change: above it by twice the interval's half, as noise may put it."""
    ratio = _ratio(finding)
    if ratio is None:
        return None
    slack = 2 * max((finding.high or ratio) - ratio, 0.0)
    # Rounded up, so that an exact metric is covered by its own entry.
    return round(ratio + slack + 5e-5, 4)


def _ratio(finding: Finding) -> float | None:
    if finding.metric in LARGER_IS_BETTER:
        return None
    if finding.ratio is not None:
        return finding.ratio
    if finding.base and finding.head is not None:
        return finding.head / finding.base
    return None


def _inside(commit: str, before: str, after: str, contains: Contains) -> bool | None:
    """Whether a commit is in the history of `after` but not in that of `before`."""
    if commit == after:
        return True
    reached, already = contains(after, commit), contains(before, commit)
    if reached is None or already is None:
        return None
    return reached and not already


def _ends(report: Report, finding: Finding) -> tuple[str, str] | None:
    if finding.commits is not None:
        return finding.commits
    if report.base is None or report.head is None:
        return None
    base, head = _named(report.base), _named(report.head)
    if base == head and {report.base.kind, report.head.kind} <= COMMITTED:
        # One commit on two runtimes: what it was measured on tells the sides apart.
        return _measured_on(report.base), _measured_on(report.head)
    return base, head


def _between(report: Report, finding: Finding) -> tuple[str, str]:
    if finding.commits is None and report.head is not None and report.head.dirty:
        raise UsageError(
            "the change is not committed, so accepting it cannot be tied to it and would silence later ones too: "
            "commit it, run the gate again, then accept"
        )
    ends = _ends(report, finding)
    if ends is None or not all(ends) or ends[0] == ends[1]:
        raise UsageError(
            f"the {finding.metric} change does not lie between two commits or two runtimes, and an entry that is tied "
            "to neither would silence later changes too: change the budget or --max-slowdown instead"
        )
    return ends


def _named(side: Side) -> str:
    """What ties a side to its place: its commit, or the runtime's name and version; empty where there is neither."""
    if side.kind in COMMITTED:
        return side.commit or ""
    if side.kind == "runtime":
        return side.asked
    return _measured_on(side) if side.kind == "interpreter" else ""


def _measured_on(side: Side) -> str:
    """The runtime's name and version; empty where its worker did not say both."""
    name, version = side.runtime.get("name"), side.runtime.get("version")
    return f"{name}=={version}" if name and version else ""


def _no_such_case(report: Report, case: str) -> str:
    names = [one.name for one in report.cases]
    return f"the report has no such case; {suggest(case, names)}"


def _identity(entry: Accepted) -> tuple[str, str, str, str]:
    return entry.case, entry.metric, entry.after, entry.before


FILE = "gate_accepted.yaml"
"""Its name; it stands beside the zoo."""

VERSION = 1

HEADER = """\
# Changes that `harness gate` found and somebody accepted. Each stays visible in every report, and fails nothing.
# An entry covers the change between its two commits up to its size, and no later one. Remove it, or add one with:
#   harness gate --accept CASE --reason "why"
"""

ORDER = ("case", "metric", "finding", "up_to", "worst", "before", "after", "reason", "who", "when", "until")
"""Keys of an entry as they are written."""

NUMBERS = frozenset({"up_to", "worst"})
OPTIONAL = NUMBERS | {"until"}
DATES = frozenset({"when", "until"})
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def read(path: Path) -> tuple[Accepted, ...]:
    """The entries of the file; none where it is missing.

    Raises:
        UsageError: if it cannot be read or is malformed; every mistake with its line.
    """
    try:
        require_plain(path)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); fix or remove it") from error
    return parse(text, path)


def parse(text: str, path: Path) -> tuple[Accepted, ...]:
    """As `read`, of a text that stood in `path`.

    Raises:
        UsageError: if it is malformed.
    """
    root = _root(text, path)
    if root is None:
        return ()
    problems: list[str] = []
    top = _mapping(root, path, problems)
    if "version" not in top:
        problems.append(f"{path}:1: the key `version` is missing; write `version: {VERSION}`")
    elif top["version"].value != str(VERSION):
        problems.append(f"{_at(top['version'], path)}: version {top['version'].value!r}; this harness reads {VERSION}")
    for name, node in top.items():
        if name not in ("version", "accepted"):
            problems.append(f"{_at(node, path)}: unknown key {name!r}; {suggest(name, ('version', 'accepted'))}")
    listed = top.get("accepted")
    nodes: list[Any] = []
    if listed is not None and listed.id == "sequence":
        nodes = listed.value
    elif listed is not None and listed.value:
        problems.append(f"{_at(listed, path)}: `accepted` must be a list of entries, each beginning with `- case:`")
    found = [_entry(node, path, problems) for node in nodes]
    if problems:
        raise UsageError("\n".join(problems))
    return tuple(entry for entry in found if entry is not None)


def render(entries: Sequence[Accepted]) -> str:
    """The file's whole text. Texts are quoted as JSON, which is YAML as well, so that no hash reads as a number."""
    lines = [HEADER, f"version: {VERSION}\n", "accepted:" + ("\n" if entries else " []\n")]
    for entry in merged((), entries):
        values = [(name, getattr(entry, name)) for name in ORDER if getattr(entry, name) is not None]
        for place, (name, value) in enumerate(values):
            shown = repr(float(value)) if name in NUMBERS else json.dumps(_printable(value), ensure_ascii=False)
            lines.append(f"{'- ' if place == 0 else '  '}{name}: {shown}\n")
    return "".join(lines)


def add(path: Path, new: Sequence[Accepted]) -> tuple[Accepted, ...]:
    """Add entries to the file, keeping what others add at the same moment.

    Returns:
        Everything that the file now holds.

    Raises:
        UsageError: if what is there is malformed; it is left as it is.
        StoreError: if it cannot be written; what is there stays.
    """
    with files.Lock.wait(_lock_of(path)):
        entries = merged(read(path), new)
        files.write(path, render(entries).encode())
    return entries


def author(folder: Path) -> str:
    """Who accepts: git's user of this checkout, else the system's."""
    name, mail = git.configured(folder, "user.name"), git.configured(folder, "user.email")
    if name:
        return f"{name} <{mail}>" if mail else name
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"


def contains_in(folder: Path) -> Contains:
    """How the commits of the clone around `folder` follow one another, for `harness.gate.accepted_changes.apply`.

    What is not a full hash (a runtime) follows nothing. A commit that this clone does not have, or a "no" from a
    shallow clone, which does not see far enough, is None.
    """
    shallow = git.is_shallow(folder) is not False

    def contains(commit: str, other: str) -> bool | None:
        if commit == other:
            return True
        if not (HASH.fullmatch(commit) and HASH.fullmatch(other)):
            return False
        if not all(git.is_commit(folder, name) for name in (commit, other)):
            return None
        if git.merge_base(folder, commit, other) == other:
            return True
        return None if shallow else False

    return contains


def today() -> str:
    """The present day in UTC, ISO 8601."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def beside(zoo: Path) -> Path:
    """Where the accepted changes of a zoo are kept."""
    return zoo.parent / FILE


def _is_day(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _lock_of(path: Path) -> Path:
    """A lock that nobody commits: in git's own folder, or outside git among the system's temporary files."""
    inside = git.git_dir(path.parent)
    if inside is not None:
        return inside / "harness-accepted.lock"
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"harness-accepted-{getpass.getuser()}-{name}.lock"


def _printable(text: str) -> str:
    """One line without what YAML cannot hold."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _root(text: str, path: Path) -> Any:
    """The document as YAML's nodes, which know their lines and leave every scalar as it was written."""
    import yaml

    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{path}:{mark.line + 1 if mark else 1}: not YAML: {said}") from error
    except RecursionError:
        raise UsageError(f"{path}:1: nested too deeply to be a list of accepted changes") from None


def _entry(node: Any, path: Path, problems: list[str]) -> Accepted | None:
    before = len(problems)
    keys = _mapping(node, path, problems)
    if len(problems) > before:
        return None
    names = tuple(field.name for field in fields(Accepted))
    values: dict[str, Any] = {}
    for name, found in keys.items():
        where = _at(found, path)
        if name not in names:
            problems.append(f"{where}: unknown key {name!r}; {suggest(name, ORDER)}")
        elif not isinstance(found.value, str) or not found.value.strip():
            problems.append(f"{where}: {name}: expected {'a number' if name in NUMBERS else 'text'} on one line")
        elif name in NUMBERS:
            values[name] = _number(found.value, f"{where}: {name}", problems)
        elif name in DATES and not _is_day(found.value):
            problems.append(f"{where}: {name}: expected a day such as 2026-01-31, found {found.value!r}")
        else:
            values[name] = found.value
    missing = [name for name in ORDER if name not in OPTIONAL and name not in keys]
    if missing:
        problems.append(f"{_at(node, path)}: the entry lacks {', '.join(missing)}")
    return Accepted(**values) if len(problems) == before else None


def _number(text: str, what: str, problems: list[str]) -> float | None:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    problems.append(f"{what}: expected a number such as 1.05, found {text!r}")
    return None


def _mapping(node: Any, path: Path, problems: list[str]) -> dict[str, Any]:
    """A mapping's nodes by key; a duplicate or a key that is not a text is a problem."""
    pairs = node.value if node.id == "mapping" else None
    if pairs is None:
        problems.append(f"{_at(node, path)}: expected keys with values, such as `case: ...`")
        return {}
    found: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key.value, str):
            problems.append(f"{_at(key, path)}: a key must be text")
        elif key.value in found:
            problems.append(f"{_at(key, path)}: duplicate key {key.value!r}")
        else:
            found[key.value] = value
    return found


def _at(node: Any, path: Path) -> str:
    return f"{path}:{node.start_mark.line + 1}"
