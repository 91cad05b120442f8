"""Providers that onnxruntime loads from a library of their own.

Stands alone, as the worker does, which has loaded what this needs before; onnxruntime is handed in.
"""

from __future__ import annotations

import importlib
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.runtimes import protocol
else:
    import protocol

SINCE = "1.23"
"""The first onnxruntime whose Python binding registers libraries of providers."""

PRECISIONS = ("precision", "load_config", "INFERENCE_PRECISION_HINT")
"""Provider options of OpenVINO that settle in which type it computes."""

registered: dict[str, str] = {}
"""Provider -> the library that this process has registered it from."""


def devices(ort: Any, plugin: str, provider: str, kind: str) -> list[Any]:
    """The devices of one kind that a plugin's provider offers here; its library is registered once in a process.

    Args:
        ort: the module onnxruntime.
        plugin: a distribution, or the path of a library.
        provider: the name that it is registered under: some report it back as the devices' own.
        kind: `cpu`, `gpu` or `npu`.

    Raises:
        Refused: this onnxruntime loads no plugins, the library does not load, or it has no such device here.
    """
    if not hasattr(ort, "register_execution_provider_library"):
        why = f"onnxruntime {ort.__version__} loads no providers from plugins; {SINCE} and later do"
        raise protocol.Refused("provider", why)
    if provider not in registered:
        path = library(plugin)
        try:
            ort.register_execution_provider_library(provider, path)
        except Exception as error:
            why = f"the library of the plugin {plugin} does not load: {error}"
            raise protocol.Refused("provider", why) from error
        registered[provider] = path
    every = ort.get_ep_devices()
    own = [one for one in every if one.ep_name == provider]
    found = [one for one in own if one.device.type.name.lower() == kind]
    if not found:
        offers = ", ".join(sorted({one.device.type.name.lower() for one in own})) or "none"
        host = "; ".join(sorted({f"{one.device.type.name.lower()} of {one.device.vendor}" for one in every}))
        why = f"{plugin} loads, but {provider} offers no {kind} device here (it offers {offers}; the host has {host})"
        raise protocol.Refused("provider", why)
    return found[:1]


def library(plugin: str) -> str:
    """The file of a plugin: a path as it is, or what the package's own function tells.

    Raises:
        Refused: there is no such file, or the package is not installed, or does not tell.
    """
    if "/" in plugin or "\\" in plugin:
        if not os.path.isfile(plugin):
            raise protocol.Refused("provider", f"plugin {plugin}: no such file")
        return plugin
    name = re.sub(r"[-.]+", "_", plugin)
    try:
        module = importlib.import_module(name)
        return str(module.get_library_path())
    except ImportError as error:
        raise protocol.Refused("provider", f"plugin {plugin} does not import: {error}") from error
    except Exception as error:
        why = f"plugin {plugin} does not tell where its library is ({error}): give the library's path instead"
        raise protocol.Refused("provider", why) from error


def notes(asked: dict[str, Any]) -> list[str]:
    """What has to be known of a provider's arithmetic, where nothing in the session tells it."""
    if "OpenVINO" not in asked["provider"]:
        return []
    options = asked.get("provider_options") or {}
    said = [f"{key}={options[key]}" for key in PRECISIONS if key in options]
    if said:
        return [f"OpenVINO was asked to compute with {', '.join(said)}"]
    return ["OpenVINO was given no precision: on CPUs with bfloat16 it computes float32 models in that (`precision`)"]
