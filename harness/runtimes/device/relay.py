"""The worker that harness starts for a device: it carries the real one there and passes requests on.

    python -m harness.runtimes.device.relay CONFIG

CONFIG is JSON: `kind` (ssh, adb), `name`, `carry` {name there: file here}, `start`, the command of the device's shell
that starts the worker in its folder, `lacks`.

Everything lies in one fresh folder of the device, which its own shell removes when the worker ends, also where the
connection is lost. What the device answers is foreign: names of files are names, and nothing is written elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from harness.errors import HarnessError
from harness.runtimes import protocol
from harness.runtimes.client import MOST_REPLY
from harness.runtimes.device import facts
from harness.runtimes.device.transport import FULL, Adb, DeviceError, Ssh, Transport, ran, why

KINDS: Final[Mapping[str, Callable[[str, str], Transport]]] = {"ssh": Ssh, "adb": Adb}
FOLDER: Final = re.compile(r"/[A-Za-z0-9_./-]+")
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
WAIT_S: Final = 10.0


class Relay:
    """One worker on a device."""

    def __init__(self, device: Transport, config: Mapping[str, Any]) -> None:
        self._device, self._config = device, config
        self._sent: dict[tuple[str, int, int], str] = {}
        self._made = 0
        base = "/data/local/tmp" if config["kind"] == "adb" else "${TMPDIR:-/tmp}"
        said = ran(device, f'umask 077; mktemp -d "{base}/harness-XXXXXX"').strip()
        if not FOLDER.fullmatch(said) or ".." in said:
            raise DeviceError(f"{device.name} made no folder: {said[:100]!r}")
        self.folder = said
        try:
            self._carry(config["carry"])
            start = str(config["start"])
            self._worker = device.started(
                f"trap 'rm -rf {said}' EXIT HUP TERM; cd {said} && export TMPDIR={said} && {start}"
            )
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Take the folder away; a device that is gone keeps it until its shell notices."""
        with contextlib.suppress(DeviceError):
            ran(self._device, f"rm -rf {self.folder}")

    def hello(self) -> dict[str, Any]:
        """The worker's, with the device that it runs on."""
        said = self._reply("start")
        if not said.get("ok"):
            return said
        lacks = said.get("lacks")
        return {
            **said,
            "device": facts.asked(self._device),
            "lacks": {**(lacks if isinstance(lacks, dict) else {}), **self._config["lacks"]},
        }

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The device's reply to a request."""
        command = request["cmd"]
        if command not in ("open", "outputs", "reference"):
            reply = self._asked(request)
            return self._profiled(reply) if command == "profile" and "file" in reply else reply
        sent = dict(request)
        if "feeds" in sent:
            sent["feeds"] = {name: self._entry(one) for name, one in sent["feeds"].items()}
        if command == "reference":
            sent["models"] = [{**one, "path": self._there(Path(one["path"]))} for one in sent["models"]]
        if command == "open":
            return self._opened(sent)
        if command == "outputs":
            return self._outputs(sent, Path(request["folder"]))
        return self._asked(sent)

    def close(self) -> None:
        """Ask the worker to leave."""
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            assert self._worker.stdin is not None  # noqa: S101  (a pipe was asked for)
            protocol.send(self._worker.stdin, {"cmd": "close"})
            self._worker.stdin.close()
            self._worker.wait(WAIT_S)
        self._worker.kill()
        self.remove()

    def _opened(self, sent: dict[str, Any]) -> dict[str, Any]:
        graph = sent.get("graph")
        sent["artifact"] = {**sent["artifact"], "path": self._there(Path(sent["artifact"]["path"]), beside=True)}
        if graph:
            sent["graph"] = f"{self.folder}/graph.onnx"
        reply = self._asked(sent)
        if graph and reply.get("ok"):
            self._fetch(sent["graph"], Path(graph))
        if reply.get("ok") and (warm := facts.warmth(self._device)):
            notes = reply.get("notes")
            reply["notes"] = [*(notes if isinstance(notes, list) else []), f"the device: {warm}"]
        return reply

    def _outputs(self, sent: dict[str, Any], folder: Path) -> dict[str, Any]:
        self._made += 1
        there = f"{self.folder}/outputs-{self._made}"
        ran(self._device, f"mkdir -p {there}")
        reply = self._asked({**sent, "folder": there})
        for entry in reply.get("outputs", []) if reply.get("ok") else []:
            for name in [*entry.get("files", []), *(entry[key] for key in ("stacked", "concatenated") if key in entry)]:
                if not NAME.fullmatch(name):
                    raise DeviceError(f"{self._device.name} answered {name[:80]!r}, which is not the name of a file")
                self._fetch(f"{there}/{name}", folder / name)
        ran(self._device, f"rm -rf {there}")
        return reply

    def _profiled(self, reply: dict[str, Any]) -> dict[str, Any]:
        there = str(reply["file"])
        if not there.startswith(f"{self.folder}/") or not NAME.fullmatch(there.rpartition("/")[2]):
            raise DeviceError(f"{self._device.name} answered {there[:80]!r}, which is not a profile of its own")
        with tempfile.NamedTemporaryFile(prefix="harness-profile-", suffix=".json", delete=False) as here:
            pass
        self._fetch(there, Path(here.name))
        return {**reply, "file": here.name}

    def _entry(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        made = dict(entry)
        for key in ("stacked", "concatenated"):
            if made.get(key):
                made[key] = self._there(Path(made[key]))
        if made.get("files"):
            made["files"] = [self._there(Path(one)) for one in made["files"]]
        return made

    def _there(self, file: Path, *, beside: bool = False) -> str:
        """Where a file lies on the device, sent there once; with `beside` a model's external data goes along."""
        state = file.stat()
        known = (str(file), state.st_size, state.st_mtime_ns)
        if known not in self._sent:
            folder = f"f{len(self._sent)}"
            # The name may be anything, and is for a shell: only a model's matters, to nobody.
            name = f"{folder}/{file.name if NAME.fullmatch(file.name) else 'file' + file.suffix[:5]}"
            self._send(file, name)
            for one in _external(file) if beside else ():
                self._send(one, f"{folder}/{one.relative_to(file.parent.resolve())}")
            self._sent[known] = f"{self.folder}/{name}"
        return self._sent[known]

    def _carry(self, carried: Mapping[str, str]) -> None:
        """The worker, in one go: every command of a device takes a while."""
        with tempfile.NamedTemporaryFile(prefix="harness-", suffix=".tar") as packed:
            with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                for name, file in carried.items():
                    entry = archive.gettarinfo(file, name)
                    entry.mode, entry.uid, entry.gid, entry.uname, entry.gname = 0o700, 0, 0, "", ""
                    with Path(file).open("rb") as content:
                        archive.addfile(entry, content)
            packed.flush()
            ran(self._device, f"cd {self.folder} && tar -xof -", content=Path(packed.name))

    def _send(self, file: Path, name: str) -> None:
        place = shlex.quote(f"{self.folder}/{name}")
        command = f"mkdir -p $(dirname {place}) && cat > {place} && chmod 700 {place} && wc -c < {place}"
        arrived = ran(self._device, command, content=file).strip()
        if arrived != str(file.stat().st_size):
            raise DeviceError(
                f"{self._device.name} has {arrived or 'no'} bytes of {file.name}: it is full, or was gone"
            )

    def _fetch(self, there: str, here: Path) -> None:
        with here.open("wb") as to:
            ran(self._device, f"cat {shlex.quote(there)}", to=to)

    def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._worker.stdin is not None  # noqa: S101  (a pipe was asked for)
        with contextlib.suppress(OSError):  # noticed with the reply
            protocol.send(self._worker.stdin, request)
        return self._reply(request["cmd"])

    def _reply(self, command: str) -> dict[str, Any]:
        assert self._worker.stdout is not None  # noqa: S101  (as above)
        try:
            found = protocol.receive(self._worker.stdout, MOST_REPLY)
        except ValueError as error:
            raise DeviceError(
                f"{self._device.name} answered `{command}` with what is not the protocol: {error}"
            ) from error
        if found is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._worker.wait(WAIT_S)
            code = self._worker.returncode
            if code in (None, 255):
                raise DeviceError(why(self._device, 255, f"the connection was lost during `{command}`"))
            raise DeviceError(f"the worker on {self._device.name} ended during `{command}` (exit code {code})")
        return found


def _external(model: Path) -> list[Path]:
    """The files of a model's external data; none where it is not a model."""
    from harness.errors import BuildError
    from harness.frameworks import onnx

    try:
        return onnx.external_files(onnx.parse(model), model)
    except BuildError:
        return []


def refusal(error: Exception) -> dict[str, Any]:
    """A reply that says that the device cannot."""
    kind = "memory" if FULL.search(str(error)) else "runtime"
    return {"ok": False, "kind": kind, "message": str(error)}


def main(text: str) -> int:
    """Serve until `close` or the end of the input."""
    config = json.loads(text)
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        try:
            device = KINDS[config["kind"]](config["name"], folder)
        except HarnessError as error:
            protocol.send(sys.stdout.buffer, refusal(error))
            return 1
        try:
            return serve(device, config)
        finally:
            device.left()


def serve(device: Transport, config: Mapping[str, Any]) -> int:
    """Carry the worker to a device, and pass on what is asked of it."""
    replies = sys.stdout.buffer
    try:
        relay = Relay(device, config)
    except (DeviceError, OSError) as error:
        protocol.send(replies, refusal(error))
        return 1
    try:
        protocol.send(replies, relay.hello())
        while (request := protocol.receive(sys.stdin.buffer)) is not None and request.get("cmd") != "close":
            try:
                reply = relay.answer(request)
            except (DeviceError, OSError) as error:
                reply = refusal(error)
            protocol.send(replies, reply)
    except DeviceError as error:
        protocol.send(replies, refusal(error))
    finally:
        relay.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
