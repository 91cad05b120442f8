"""Short and full names of providers, and which of them use thread counts."""

from __future__ import annotations

import onnxruntime
import pytest

from harness.providers import SHORT, full_name, short_name, thread_option, uses_threads


def test_names_are_onnxruntimes() -> None:
    """Every full name is one that onnxruntime knows; ROCm left with 1.23."""
    assert set() == set(SHORT.values()) - set(onnxruntime.get_all_providers()) - {"ROCMExecutionProvider"}


@pytest.mark.parametrize("given", ["openvino", "OpenVINO", "OpenVINOExecutionProvider"])
def test_full_name_takes_either_in_any_case(given: str) -> None:
    """A person may write the short or the full name."""
    assert "OpenVINOExecutionProvider" == full_name(given)


def test_unknown_name() -> None:
    """An unknown short name has no full one; an unknown full name is shown as it is."""
    assert None is full_name("cuad")
    assert "NewExecutionProvider" == short_name("NewExecutionProvider")
    assert "cuda" == short_name("CUDAExecutionProvider")


@pytest.mark.parametrize(
    ("provider", "options", "expected"),
    [
        ("CPUExecutionProvider", {}, True),
        ("CUDAExecutionProvider", {}, False),
        ("OpenVINOExecutionProvider", {}, True),
        ("OpenVINOExecutionProvider", {"device_type": "CPU"}, True),
        ("OpenVINOExecutionProvider", {"device_type": "GPU.0"}, False),
    ],
)
def test_uses_threads(provider: str, options: dict[str, str], expected: bool) -> None:
    """Device providers ignore a thread count; OpenVINO does when it runs on another device."""
    assert expected == uses_threads(provider, options)


def test_own_pools() -> None:
    """Providers with a pool of their own name the option that sizes it."""
    assert "num_of_threads" == thread_option("OpenVINOExecutionProvider", {})
    assert "intra_op_num_threads" == thread_option("XnnpackExecutionProvider", {})
    assert None is thread_option("CPUExecutionProvider", {})
