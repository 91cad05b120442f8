"""What a device is, asked through its shell: what the facts of a host are read from, and what changes on it."""

from __future__ import annotations

import re
from typing import Final

from harness.runtimes.device.transport import DeviceError, Transport, ran

MARK: Final = "==harness=="
PARTS: Final = {
    "cpuinfo": "cat /proc/cpuinfo",
    "meminfo": "cat /proc/meminfo",
    "uname": "uname -s; uname -m; uname -r; uname -n",
    "cores": "nproc || grep -c ^processor /proc/cpuinfo",
    "governor": "cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "model": "tr -d '\\0' < /proc/device-tree/model || getprop ro.product.model",
    "os": "cat /etc/os-release || echo PRETTY_NAME=Android $(getprop ro.build.version.release)",
}
THERMAL: Final = "cat /sys/class/thermal/thermal_zone*/temp; dumpsys thermalservice | grep -m1 'Thermal Status'"


def asked(device: Transport) -> dict[str, str]:
    """What each of `PARTS` printed; empty where the device has no such thing. `harness.measure.host` reads it.

    Raises:
        DeviceError: it does not answer.
    """
    command = "; ".join(f"echo {MARK}; {{ {text}; }} 2>/dev/null" for text in PARTS.values())
    return dict(zip(PARTS, ran(device, f"{command}; true").split(f"{MARK}\n")[1:], strict=False))


def warmth(device: Transport) -> str:
    """How warm it is at the moment, in words; empty where it does not say."""
    try:
        said = ran(device, f"{{ {THERMAL}; }} 2>/dev/null; true")
    except DeviceError:
        return ""
    degrees = [int(one) / 1000 for one in re.findall(r"^(\d{4,6})$", said, re.MULTILINE)]
    status = re.search(r"Thermal Status: (\d+)", said)
    parts = [f"{max(degrees):.0f} degrees Celsius at its warmest sensor"] if degrees else []
    parts += [f"thermal status {status[1]} of Android (0: none, 3: severe)"] if status else []
    return ", ".join(parts)
