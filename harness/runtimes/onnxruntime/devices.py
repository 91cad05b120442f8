"""Where a provider reads its inputs and writes its outputs, and whether a run has ended when it returns.

A file that stands alone.
"""

from __future__ import annotations

from typing import Any, Callable

DEVICES = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda", "DmlExecutionProvider": "dml"}
"""Provider -> what onnxruntime calls its device; that of every other one is the CPU."""

RETURNS_EARLY = ("DmlExecutionProvider",)
"""Those that hand their work to the device at the end of a run and do not wait for it; CUDA's waits."""


def place(provider: str, settings: dict[str, Any]) -> tuple[str, int]:
    """The device, and which of several."""
    device = DEVICES.get(provider, "cpu")
    return device, 0 if device == "cpu" else int(settings.get("device_id") or 0)


def to_its_end(run: Callable[..., None], provider: str) -> Callable[..., None]:
    """A session's run on a binding, which returns when the outputs are there."""
    if provider not in RETURNS_EARLY:
        return run

    def waiting(binding: Any, *options: Any) -> None:
        run(binding, *options)
        binding.synchronize_outputs()

    return waiting
