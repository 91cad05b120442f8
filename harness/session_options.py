"""The session config keys that a zoo may set.

ONNX Runtime accepts a misspelt key, and a value it does not know, without a word; either would put a label on a
number that was measured without it. The keys are those of `onnxruntime_session_options_config_keys.h`, checked against
the strings in onnxruntime 1.31.1's library. Left out are keys that steer files rather than execution.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.suggest import suggest

EXECUTION_MODE = "session.execution_mode"
"""How a `Target` asks for parallel execution: this key with the value `PARALLEL`.

ONNX Runtime's Python binding stores the entry and does not act on it: whoever creates the session sets
`SessionOptions.execution_mode` from it.
"""
PARALLEL = "1"
AFFINITIES = "session.intra_op_thread_affinities"
DISABLE_CPU_FALLBACK = "session.disable_cpu_ep_fallback"

SCHEDULING = (
    EXECUTION_MODE,
    AFFINITIES,
    "session.dynamic_block_base",
    "session.enable_cpu_mem_arena",
    "session.enable_mem_pattern",
    "session.force_spinning_stop",
    "session.inter_op.allow_spinning",
    "session.inter_op.spin_backoff_max",
    "session.inter_op.spin_duration_us",
    "session.intra_op.allow_spinning",
    "session.intra_op.spin_backoff_max",
    "session.intra_op.spin_duration_us",
    "session.prepack.enable_parallel",
)
"""Keys that say who works when and in which memory, as the number of threads does, and not what is computed."""

FLAG, NUMBER, TEXT = "0 or 1", "a whole number", "text"

KEYS: Mapping[str, str] = {
    "mlas.disable_kleidiai": FLAG,
    "mlas.enable_gemm_fastmath_arm64_bfloat16": FLAG,
    "mlas.use_lut_gemm": FLAG,
    "optimization.constant_folding_max_output_size_in_bytes": NUMBER,
    "optimization.disable_specified_optimizers": TEXT,
    "optimization.enable_cast_chain_elimination": FLAG,
    "optimization.enable_gelu_approximation": FLAG,
    "session.allow_released_opsets_only": FLAG,
    "session.disable_aot_function_inlining": FLAG,
    "session.disable_cpu_ep_fallback": FLAG,
    "session.disable_double_qdq_remover": FLAG,
    "session.disable_prepacking": FLAG,
    "session.disable_qdq_constant_folding": FLAG,
    "session.disable_quant_qdq": FLAG,
    "session.dynamic_block_base": NUMBER,
    "session.enable_cpu_mem_arena": FLAG,
    "session.enable_dq_matmulnbits_fusion": FLAG,
    "session.enable_mem_pattern": FLAG,
    "session.enable_quant_qdq_cleanup": FLAG,
    "session.force_spinning_stop": FLAG,
    "session.graph_optimizations_loop_level": NUMBER,
    "session.inter_op.allow_spinning": FLAG,
    "session.inter_op.spin_backoff_max": NUMBER,
    "session.inter_op.spin_duration_us": NUMBER,
    "session.intra_op.allow_spinning": FLAG,
    "session.intra_op.spin_backoff_max": NUMBER,
    "session.intra_op.spin_duration_us": NUMBER,
    "session.intra_op_thread_affinities": TEXT,
    "session.layer_assignment_settings": TEXT,
    "session.name_based_layer_assignment": TEXT,
    "session.prepack.enable_parallel": FLAG,
    "session.qdq_matmulnbits_accuracy_level": NUMBER,
    "session.qdq_matmulnbits_block_size": NUMBER,
    "session.qdqisint8allowed": FLAG,
    "session.resource_cuda_partitioning_settings": TEXT,
    "session.set_denormal_as_zero": FLAG,
    "session.strict_shape_type_inference": FLAG,
    "session.use_device_allocator_for_initializers": FLAG,
    "session.use_env_allocators": FLAG,
    "session.x64quantprecision": FLAG,
}
"""Valid key -> what its value is."""

PYTHON_ONLY = frozenset({"session.enable_cpu_mem_arena", "session.enable_mem_pattern"})
"""Keys on which ONNX Runtime's bindings do not act: the worker in Python sets options of its session by them."""

ARM_ONLY = frozenset({"mlas.enable_gemm_fastmath_arm64_bfloat16"})
"""Keys compiled only into the libraries for ARM."""

_NO_EFFECT = "ONNX Runtime's Python binding does not act on it as a config entry"
ELSEWHERE: Mapping[str, str] = {
    "session.intra_op_num_threads": f"set the target's `threads`; {_NO_EFFECT}",
    "session.inter_op_num_threads": f"set the target's `inter_threads`; {_NO_EFFECT}",
    "session.execution_mode": f"set the target's `execution`; {_NO_EFFECT}",
    "session.graph_optimization_level": f"set the variant's `optimization`; {_NO_EFFECT}",
    "session.use_deterministic_compute": _NO_EFFECT,
    "session.use_per_session_threads": _NO_EFFECT,
    "session.enable_profiling": "harness profiles apart from timing, by itself",
    "session.record_ep_graph_assignment_info": "harness sets it by itself",
    "memory.enable_memory_arena_shrinkage": "it is an option of a run, not of a session",
}
"""Keys that exist but may not be set here -> what to do instead."""


def problem(key: str, value: str) -> str | None:
    """Return what is wrong with a session config entry and what would be valid, or None where it is good."""
    if key in ELSEWHERE:
        return f"cannot be set here: {ELSEWHERE[key]}"
    if key not in KEYS:
        return f"unknown session config key {key!r}; {suggest(key, KEYS)}"
    kind = KEYS[key]
    if (kind == FLAG and value not in ("0", "1")) or (kind == NUMBER and not re.fullmatch(r"-?[0-9]{1,18}", value)):
        return f"expected {kind}, found {value!r}"
    return None
