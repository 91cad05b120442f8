"""The options that each execution provider takes: onnxruntime passes over some that it does not know in silence.

A provider that is not here, or that comes from a plugin, checks its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.suggest import suggest

_GPU: Final = ("device_id", "gpu_mem_limit", "arena_extend_strategy", "gpu_external_alloc", "gpu_external_free")

KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "CPUExecutionProvider": (),

    "CUDAExecutionProvider": (
        *_GPU, "gpu_external_empty_cache", "cudnn_conv_algo_search", "cudnn_conv_use_max_workspace",
        "cudnn_conv1d_pad_to_nc1d", "do_copy_in_default_stream", "enable_cuda_graph",
        "enable_skip_layer_norm_strict_mode", "fuse_conv_bias", "has_user_compute_stream", "prefer_nhwc", "sdpa_kernel",
        "tunable_op_enable", "tunable_op_max_tuning_duration_ms", "tunable_op_tuning_enable",
        "use_ep_level_unified_stream", "use_tf32", "user_compute_stream",
    ),
    "TensorrtExecutionProvider": (
        "device_id", "has_user_compute_stream", "user_compute_stream", "trt_auxiliary_streams", "trt_bf16_enable",
        "trt_build_heuristics_enable", "trt_builder_optimization_level", "trt_context_memory_sharing_enable",
        "trt_cuda_graph_enable", "trt_detailed_build_log", "trt_dla_core", "trt_dla_enable",
        "trt_dump_ep_context_model", "trt_dump_subgraphs", "trt_engine_cache_enable", "trt_engine_cache_path",
        "trt_engine_cache_prefix", "trt_engine_decryption_enable", "trt_engine_decryption_lib_path",
        "trt_engine_hw_compatible", "trt_external_data_bytestream", "trt_external_data_bytestream_size",
        "trt_ep_context_embed_mode", "trt_ep_context_file_path",
        "trt_ep_context_partition_name", "trt_extra_plugin_lib_paths", "trt_force_sequential_engine_build",
        "trt_force_timing_cache", "trt_force_timing_cache_match", "trt_fp16_enable", "trt_int8_calibration_table_name",
        "trt_int8_enable", "trt_int8_use_native_calibration_table", "trt_layer_norm_fp32_fallback",
        "trt_load_user_initializer", "trt_max_partition_iterations", "trt_max_workspace_size", "trt_min_subgraph_size",
        "trt_onnx_bytes_stream", "trt_onnx_bytestream", "trt_onnx_bytestream_size", "trt_onnx_external_data_bytestream",
        "trt_onnx_external_data_bytestream_size", "trt_onnx_model_folder_path", "trt_op_types_to_exclude",
        "trt_preview_features", "trt_profile_max_shapes", "trt_profile_min_shapes", "trt_profile_opt_shapes",
        "trt_sparsity_enable", "trt_tactic_sources", "trt_timing_cache_enable", "trt_timing_cache_path",
        "trt_weight_stripped_engine_enable", "trt_weightless_engine_enable",
    ),
    "OpenVINOExecutionProvider": (
        "cache_dir", "context", "device_id", "device_luid", "device_type", "disable_dynamic_shapes", "enable_causallm",
        "enable_dynamic_shapes", "enable_opencl_throttling", "enable_qdq_optimizer", "layout", "load_config",
        "model_priority", "num_of_threads", "num_streams", "precision", "reshape_input", "so_export_ep_ctx_blob",
    ),
    "CoreMLExecutionProvider": (
        "AllowLowPrecisionAccumulationOnGPU", "EnableOnSubgraphs", "MLComputeUnits", "ModelCacheDirectory",
        "ModelFormat", "ProfileComputePlan", "RequireStaticInputShapes", "SpecializationStrategy",
    ),
    "XnnpackExecutionProvider": ("intra_op_num_threads",),

    "DmlExecutionProvider": (
        "device_id", "device_filter", "disable_metacommands", "enable_dynamic_graph_fusion", "enable_graph_capture",
        "enable_graph_serialization", "performance_preference",
    ),
    "MIGraphXExecutionProvider": (
        "device_id", "migraphx_arena_extend_strategy", "migraphx_bf16_enable", "migraphx_exhaustive_tune",
        "migraphx_external_alloc", "migraphx_external_empty_cache", "migraphx_external_free", "migraphx_fp16_enable",
        "migraphx_fp8_enable", "migraphx_int8_calibration_table_name", "migraphx_int8_enable",
        "migraphx_int8_use_native_calibration_table", "migraphx_load_compiled_model", "migraphx_load_model_name",
        "migraphx_load_model_path", "migraphx_max_compiled_models", "migraphx_max_dynamic_batch", "migraphx_mem_limit",
        "migraphx_model_cache_dir", "migraphx_save_compiled_model", "migraphx_save_model_name",
        "migraphx_save_model_path", "migraphx_use_native_calibration_table", "migraphx_gpu_external_alloc",
        "migraphx_gpu_external_empty_cache", "migraphx_gpu_external_free",
    ),
    "QNNExecutionProvider": (
        "backend_path", "backend_type", "device_id", "dump_json_qnn_graph", "dump_qnn_ir_dlc", "dump_qnn_ir_dlc_dir",
        "enable_htp_extended_udma_mode", "enable_htp_fp16_precision", "enable_htp_shared_memory_allocator",
        "enable_htp_spill_fill_buffer", "enable_htp_weight_sharing", "enable_vtcm_backup_buffer_sharing", "htp_arch",
        "htp_bf16_enable", "htp_graph_finalization_optimization_mode", "htp_performance_mode", "json_qnn_graph_dir",
        "offload_graph_io_quantization", "op_packages", "profiling_file_path", "profiling_level",
        "qnn_context_priority", "qnn_ir_backend_path", "qnn_saver_path", "rpc_control_latency",
        "skip_qnn_version_check", "soc_model", "vtcm_mb",
    ),
    "NnapiExecutionProvider": (),

    "WebGpuExecutionProvider": (
        "adapterIndex", "dawnBackendType", "dawnProcTable", "defaultBufferCacheMode", "deviceId", "enableGraphCapture",
        "enableInt64", "enableMatmulFp32Accumulation", "enablePIXCapture", "enableRobustness", "forceCpuNodeNames",
        "kvCacheQuantizationBits", "maxNumPendingDispatches", "maxStorageBufferBindingSize",
        "maxStorageBuffersPerShaderStage", "multiRotaryCacheConcatOffset", "powerPreference", "preferredLayout",
        "preserveDevice", "queryResolveBufferCacheMode", "sessionBufferPoolGenerations", "storageBufferCacheMode",
        "uniformBufferCacheMode", "validationMode", "webgpuDevice", "webgpuInstance", "weightLoadAcceleration",
    ),
}  # fmt: skip
"""Provider -> its options, as the documentation and the sources of onnxruntime have them."""


def problem(provider: str, option: str) -> str:
    """Why an option has no effect; empty where it has one, or nobody here knows.

    Args:
        provider: the full name, of a provider that the runtime itself has.
        option: as it was written.
    """
    known = KNOWN.get(provider)
    if known is None or option in known:
        return ""
    if not known:
        return f"{provider} takes no options; threads and the like are keys of the target, see also session_config"
    return f"{provider} has no such option; {suggest(option, known)}"
