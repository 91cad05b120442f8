"""The small models that are timed beside what is open. A file that stands alone, but for `several`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from harness.runtimes.onnxruntime import several
else:
    import several


def ready(ort: Any, path: str, shape: list[int]) -> Any:
    """What runs a model with one input `x`, warmed up: a function, its argument, and what must stay alive meanwhile."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    several.small(options)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    value = ort.OrtValue.ortvalue_from_numpy(np.full(shape, 0.5, dtype=np.float32), "cpu", 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", value)
    binding.bind_output(session.get_outputs()[0].name, "cpu")
    session.run_with_iobinding(binding)
    output = binding.get_outputs()[0]
    binding.bind_ortvalue_output(session.get_outputs()[0].name, output)
    session.run_with_iobinding(binding)
    return session.run_with_iobinding, binding, (session, value, output)
