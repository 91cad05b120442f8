"""How a device is reached: commands of its shell over ssh or adb."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, Protocol

from harness.errors import UsageError

SSH: Final = "HARNESS_SSH"
"""The variable of the environment that has the ssh command, such as `ssh -p 2222`; what of a zoo is a name alone."""

ADB: Final = "HARNESS_ADB"
"""The same for adb."""

SSH_OPTIONS: Final = (
    "-T", "-oBatchMode=yes", "-oConnectTimeout=15", "-oServerAliveInterval=5", "-oServerAliveCountMax=3",
    "-oForwardAgent=no", "-oForwardX11=no", "-oClearAllForwardings=yes",
)  # fmt: skip

HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:@[A-Za-z0-9_][A-Za-z0-9_.-]*)?")
SERIAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")
DEADLINE_S: Final = 600.0
PERSIST_S: Final = 60
"""Seconds for which a connection waits for another command, should nobody end it."""

GONE: Final = re.compile(
    r"Connection (?:closed|reset|refused|timed out)|Broken pipe|No route to host|Could not resolve|lost connection|"
    r"device (?:'[^']*' )?(?:not found|offline|unauthorized)|no devices/emulators found|Permission denied \(|closed by",
    re.IGNORECASE,
)
FULL: Final = re.compile(r"no space left|ENOSPC|disk quota exceeded", re.IGNORECASE)


class DeviceError(Exception):
    """A device that cannot do what it was asked: it is gone, full, or refuses."""


class Transport(Protocol):
    """A shell on a device, and files to and from it."""

    name: str

    def started(self, command: str) -> subprocess.Popen[bytes]:
        """A command of the device's shell, with pipes."""

    def command(self, text: str) -> list[str]:
        """What runs a command of the device's shell from here."""

    def left(self) -> None:
        """Nothing more is asked of the device."""


def checked(text: str, pattern: re.Pattern[str], what: str) -> str:
    """A name that cannot be taken for an option.

    Raises:
        UsageError: it is one, or has what no such name has.
    """
    if not pattern.fullmatch(text):
        raise UsageError(
            f"{what} {text!r} is not a name: letters, digits, `.`, `_` and `-`, and no `-` to begin with. Options "
            f"belong into ~/.ssh/config, or into {SSH} or {ADB}"
        )
    return text


def program(variable: str, default: str, remedy: str) -> list[str]:
    """The command of a tool.

    Raises:
        UsageError: it is not there.
    """
    asked = shlex.split(os.environ.get(variable, "").strip()) or [default]
    if shutil.which(asked[0]) is None:
        raise UsageError(f"there is no `{asked[0]}`: {remedy}, or name it in {variable}")
    return asked


class Ssh:
    """A host that ssh reaches without asking for anything."""

    def __init__(self, host: str, folder: str = "") -> None:
        """Nothing is connected yet.

        Args:
            host: the machine's name, or USER@NAME.
            folder: a private one, in which commands find the connection that the first of them made.

        Raises:
            UsageError: the name is none, or there is no ssh.
        """
        self.name = checked(host, HOST, "host")
        self._ssh = program(SSH, "ssh", "install it (apt install openssh-client)")
        shared = ("-oControlMaster=auto", f"-oControlPath={folder}/c", f"-oControlPersist={PERSIST_S}")
        self._shared = shared if folder else ()

    def command(self, text: str) -> list[str]:
        """`--` keeps a host from being an option, whatever it is called."""
        return [*self._ssh, *SSH_OPTIONS, *self._shared, "--", self.name, text]

    def left(self) -> None:
        """End the connection that commands share."""
        if self._shared:
            command = [*self._ssh, *self._shared, "-O", "exit", "--", self.name]
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False)

    def started(self, command: str) -> subprocess.Popen[bytes]:
        """See `Transport`."""
        return _piped(self.command(command))


class Adb:
    """A phone that adb sees."""

    def __init__(self, serial: str, folder: str = "") -> None:  # noqa: ARG002  (every transport's)
        """As `Ssh`; adb's server keeps the connection.

        Raises:
            UsageError: the serial number is none, or there is no adb.
        """
        self.name = checked(serial, SERIAL, "serial number")
        self._adb = program(ADB, "adb", "install Android's platform tools (apt install adb)")

    def command(self, text: str) -> list[str]:
        """Without a terminal, so that bytes pass as they are."""
        return [*self._adb, "-s", self.name, "shell", "-T", text]

    def left(self) -> None:
        """See `Transport`."""

    def started(self, command: str) -> subprocess.Popen[bytes]:
        """See `Transport`."""
        return _piped(self.command(command))


def _piped(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def ran(device: Transport, command: str, *, content: Path | None = None, to: IO[bytes] | None = None) -> str:
    """What a command of the device's shell printed.

    Args:
        device: where it runs.
        command: for the shell there.
        content: a file that it reads from its input.
        to: where its output goes instead, such as an open file.

    Raises:
        DeviceError: it failed; the text says how.
    """
    with tempfile.TemporaryFile() as said:
        given = content.open("rb") if content is not None else None
        try:
            done = subprocess.run(
                device.command(command),
                stdin=given or subprocess.DEVNULL,
                stdout=to or subprocess.PIPE,
                stderr=said,
                timeout=DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"{device.name} did not answer within {DEADLINE_S:.0f} s") from error
        except OSError as error:
            raise DeviceError(f"{device.name} cannot be reached: {error}") from error
        finally:
            if given is not None:
                given.close()
        said.seek(0)
        errors = said.read(65536).decode(errors="replace")
    out = "" if to is not None else done.stdout.decode(errors="replace")
    if done.returncode:
        raise DeviceError(why(device, done.returncode, errors or out))
    return out


def why(device: Transport, code: int, said: str) -> str:
    """Why a command on a device failed, for a person."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = " | ".join(lines[-3:])[:500] or f"exit code {code}"
    if FULL.search(said):
        return f"{device.name} is full: free some space on it. It said: {last}"
    if GONE.search(said) or code == 255:  # noqa: PLR2004  (ssh's own failures)
        return f"{device.name} is gone, or cannot be reached: {last}"
    return f"{device.name}: {last}"
