#include "config/ds_schema.h"

namespace zt::config {
namespace {

/// A key of a section that its own switch decides about.
DsKey part(const char* path, KeyType type, const char* note = "read only when its section is on") {
  return {path, type, KeyUse::notice, "", "", "*", note};
}
DsKey notice(const char* path, KeyType type, const char* quiet, const char* note) {
  return {path, type, KeyUse::notice, "", "", quiet, note};
}
DsKey refused(const char* path, KeyType type, const char* quiet, const char* note) {
  return {path, type, KeyUse::refused, "", "", quiet, note};
}

DsKey effect(const char* path, KeyType type, const char* field, const char* note) {
  return {path, type, KeyUse::effect, field, "", "", note};
}

}  // namespace

/// Activation checkpointing, checkpoints, monitors and features that stay off.
std::vector<DsKey> ds_other_keys() {
  using T = KeyType;
  constexpr const char* kSaving = "checkpoints have one layout for all ranks and stages";
  constexpr const char* kRecompute = "--recompute decides";
  constexpr const char* kTimes = "step times are in the log already";
  return {
      notice("activation_checkpointing.partition_activations", T::boolean, "false",
             "there is no model parallelism to shard over"),
      effect("activation_checkpointing.cpu_checkpointing", T::boolean, "zero.activations_on_host",
             "inputs of layers wait in host memory for the backward pass"),
      notice("activation_checkpointing.contiguous_memory_optimization", T::boolean, "false",
             "buffers are planned before the first step"),
      notice("activation_checkpointing.number_checkpoints", T::integer, "", kRecompute),
      notice("activation_checkpointing.synchronize_checkpoint_boundary", T::boolean, "false",
             "the schedule orders the streams"),
      notice("activation_checkpointing.profile", T::boolean, "false", kTimes),
      notice("checkpoint.tag_validation", T::text, "ignore|warn|fail", kSaving),
      refused("checkpoint.load_universal", T::boolean, "false",
              "--resume_from_checkpoint finds out by itself"),
      notice("checkpoint.use_node_local_storage", T::boolean, "false", kSaving),
      notice("checkpoint.checkpoint_serialization", T::boolean, "", kSaving),
      effect("aio.block_size", T::integer, "zero.aio_block_size", "bytes of one disk request"),
      effect("aio.queue_depth", T::integer, "zero.aio_queue_depth",
             "disk requests in flight per thread"),
      effect("aio.intra_op_parallelism", T::integer, "zero.aio_threads",
             "threads that issue disk requests"),
      effect("aio.single_submit", T::boolean, "zero.aio_single_submit",
             "one system call per disk request"),
      effect("aio.overlap_events", T::boolean, "zero.aio_overlap_events",
             "new disk requests follow as old ones complete"),
      notice("aio.thread_count", T::integer, "", "use aio.intra_op_parallelism"),
      refused("aio.use_gds", T::boolean, "false", "GPUDirect Storage is not built"),
      notice("timers.throughput.enabled", T::boolean, "true", "tokens per second are in the log"),
      notice("timers.throughput.synchronized", T::boolean, "", "tokens per second are in the log"),

      part("csv_monitor.enabled", T::boolean),
      part("csv_monitor.output_path", T::text),
      part("csv_monitor.job_name", T::text),
      part("tensorboard.enabled", T::boolean),
      part("tensorboard.output_path", T::text),
      part("tensorboard.job_name", T::text),
      part("wandb.enabled", T::boolean),
      part("wandb.group", T::text),
      part("wandb.team", T::text),
      part("wandb.project", T::text),
      part("comet.enabled", T::boolean),
      part("comet.samples_log_interval", T::integer),
      part("comet.project", T::text),
      part("comet.workspace", T::text),
      part("comet.api_key", T::text),
      part("comet.experiment_name", T::text),
      part("comet.experiment_key", T::text),
      part("comet.online", T::boolean),
      part("comet.mode", T::text),
      part("comms_logger.enabled", T::boolean),
      part("comms_logger.verbose", T::boolean),
      part("comms_logger.prof_all", T::boolean),
      part("comms_logger.debug", T::boolean),
      part("comms_logger.prof_ops", T::list),
      part("weight_quantization.enabled", T::boolean),
      part("weight_quantization.num_bits", T::integer),
      part("weight_quantization.q_type", T::text),
      part("weight_quantization.q_groups", T::integer),
      part("weight_quantization.quantized_initialization", T::object),
      part("weight_quantization.post_init_quant", T::object),
      part("hybrid_engine.enabled", T::boolean),
      part("hybrid_engine.max_out_tokens", T::integer),
      part("hybrid_engine.inference_tp_size", T::integer),
      part("hybrid_engine.release_inference_cache", T::boolean),
      part("hybrid_engine.pin_parameters", T::boolean),
      part("hybrid_engine.tp_gather_partition_size", T::integer),
      part("hybrid_engine.enable_cuda_graph", T::boolean),
      part("compile.deepcompile", T::boolean),
      part("compile.free_activation", T::boolean),
      part("compile.free_activation_threshold", T::integer),
      part("compile.offload_activation", T::boolean),
      part("compile.offload_activation_pin_memory", T::boolean),
      part("compile.offload_opt_states", T::boolean),
      part("compile.offload_parameters", T::boolean),
      part("compile.double_buffer", T::boolean),
      part("compile.symmetric_memory", T::boolean),
      part("compile.debug_log", T::boolean),
      part("compile.sync_before_reduce", T::boolean),
      part("compile.sync_after_reduce", T::boolean),
      part("compile.sync_before_allgather", T::boolean),
      part("compile.sync_after_allgather", T::boolean),
      part("compile.keep_int_input_tensors", T::boolean),
      part("compile.keep_all_input_tensors", T::boolean),
      part("compile.passes", T::list),
      part("compile.backend", T::text, "an old key of DeepSpeed"),
      part("compile.kwargs", T::object, "an old key of DeepSpeed"),
      part("compile.enabled", T::boolean, "an old key of DeepSpeed"),

      refused("tensor_parallel.autotp_size", T::integer, "0|1", "tensor parallelism is not built"),
      notice("tensor_parallel.preset_model", T::text, "", "tensor parallelism is not built"),
      notice("tensor_parallel.tp_overlap_comm", T::boolean, "false",
             "tensor parallelism is not built"),
      notice("tensor_parallel.partition_config", T::object, "", "tensor parallelism is not built"),
      notice("tensor_parallel.dtype", T::text, "", "tensor parallelism is not built"),
      notice("tensor_parallel.tp", T::object, "", "tensor parallelism is not built"),
      notice("tensor_parallel.injection_policy_tuple", T::any, "",
             "tensor parallelism is not built"),
      notice("tensor_parallel.keep_module_on_host", T::boolean, "false",
             "tensor parallelism is not built"),
      notice("tensor_parallel.kernel_inject", T::boolean, "false",
             "tensor parallelism is not built"),
      notice("tensor_parallel.replace_with_kernel_inject", T::boolean, "false",
             "tensor parallelism is not built"),
  };
}

}  // namespace zt::config
