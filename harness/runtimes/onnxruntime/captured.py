"""A GPU's work that a provider captures in the first inference and replays in every later one: CUDA graphs.

A replay runs no node. It reads and writes the memory of the inference that was captured, whatever is bound or fed to it
later. So one batch is bound, outputs have memory of their own before anything is captured, and examples are put into
the memory of the inputs. A file that stands alone; onnxruntime is handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness import ort_values
    from harness.runtimes import protocol
else:
    import ort_values
    import protocol

OPTIONS = {
    "CUDAExecutionProvider": "enable_cuda_graph",
    "TensorrtExecutionProvider": "trt_cuda_graph_enable",
    "DmlExecutionProvider": "enable_graph_capture",
}
"""Provider -> its option that asks for it."""

GRAPH, SKIP = "gpu_graph_id", "-1"
"""The key of a run's configuration that names a graph, and the value with which nodes run and nothing is captured."""

NOTE = "the work of an inference is captured in the first one and replayed: one batch of examples is timed"


def asked(provider: str, options: dict[str, Any]) -> bool:
    """Whether the options of a provider ask for it."""
    return str(options.get(OPTIONS.get(provider, ""), "0")).lower() in ("1", "true")


def without(provider: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options without it: a replay has no nodes that a profile could show."""
    return {key: value for key, value in options.items() if key != OPTIONS.get(provider)}


def refuse_requests_at_a_time(request: dict[str, Any]) -> None:
    """One graph reads one memory.

    Raises:
        Refused: several requests are to be served at a time.
    """
    if (request.get("streams") or 1) > 1:
        raise protocol.Refused(
            "not_implemented", "a captured graph reads and writes one memory, so that requests are served one by one"
        )


def notes(feeds: list[Any]) -> list[str]:
    """What must be known of what is timed.

    Args:
        feeds: those that are passed to each run since they cannot be bound.

    Raises:
        Refused: there are some.
    """
    if feeds:
        raise protocol.Refused("not_implemented", "a captured graph needs inputs that are bound, and these cannot be")
    return [NOTE]


def skipping(ort: Any) -> Any:
    """The options of a run that captures nothing."""
    options = ort.RunOptions()
    options.add_run_config_entry(GRAPH, SKIP)
    return options


def replayed(session: Any, binding: Any, bound: dict[str, Any], feed: dict[str, Any]) -> list[Any]:
    """The outputs of one feed, raw, computed by the graph that was captured.

    Args:
        session: that captured it.
        binding: what it was captured on.
        bound: input -> the value whose memory it reads.
        feed: fitting values.

    Raises:
        Refused: an input has another shape than what was captured, or is of a type whose memory cannot be written.
    """
    for one in session.get_inputs():
        value, array = bound[one.name], feed[one.name]
        if one.type not in ort_values.NUMBERS or list(value.shape()) != list(array.shape):
            raise protocol.Refused(
                "not_implemented",
                f"a captured graph takes {one.name!r} as it was captured, {value.shape()}, and an example is "
                f"{list(array.shape)} of {one.type}: outputs cannot be compared",
            )
        value.update_inplace(array)
    session.run_with_iobinding(binding)
    outputs = zip(binding.copy_outputs_to_cpu(), session.get_outputs())
    return [ort_values.kept(value, one.type) for value, one in outputs]
