#include "config/ds_schema.h"

namespace zt::config {
namespace {

DsKey effect(const char* name, KeyType type, const char* field, const char* note) {
  return {std::string("zero_optimization.") + name, type, KeyUse::effect, field, "", "", note};
}
DsKey notice(const char* name, KeyType type, const char* quiet, const char* note) {
  return {std::string("zero_optimization.") + name, type, KeyUse::notice, "", "", quiet, note};
}
DsKey refused(const char* name, KeyType type, const char* quiet, const char* note) {
  return {std::string("zero_optimization.") + name, type, KeyUse::refused, "", "", quiet, note};
}

}  // namespace

/// `zero_optimization` and its sub-sections.
std::vector<DsKey> ds_zero_keys() {
  using T = KeyType;
  constexpr const char* kPlanned = "the schedule sizes buffers by the units that pass through";
  constexpr const char* kPipelined = "reads always run ahead, writes always behind";
  constexpr const char* kNoSwitch = "gradients always lie in flat buffers";
  return {
      effect("stage", T::integer, "zero.stage", "what is sharded, 0 to 3"),
      effect("cpu_offload", T::boolean, "", "old form of offload_optimizer.device cpu"),
      effect("cpu_offload_param", T::boolean, "", "old form of offload_param.device cpu"),
      effect("cpu_offload_params", T::boolean, "", "old form of offload_param.device cpu"),
      effect("reduce_bucket_size", T::integer, "zero.reduce_bucket_size",
             "elements of one gradient reduction"),
      effect("allgather_bucket_size", T::integer, "zero.allgather_bucket_size",
             "elements of one parameter gather at the update"),
      effect("overlap_comm", T::boolean, "zero.overlap_comm", "communicate beside compute"),
      effect("stage3_max_live_parameters", T::integer, "zero.max_live_parameters",
             "gathered elements allowed at once"),
      effect("stage3_prefetch_bucket_size", T::integer, "zero.prefetch_bucket_size",
             "elements gathered ahead; without a number the plan takes more where offloaded "
             "parameters gain by it"),
      effect("stage3_param_persistence_threshold", T::integer, "zero.param_persistence_threshold",
             "parameters not larger stay gathered"),
      effect("stage3_gather_16bit_weights_on_model_save", T::boolean, "zero.gather_16bit_on_save",
             "gather the weights to save them in 16 bits"),
      effect("offload_optimizer.device", T::text, "",
             "cpu or nvme: where optimizer states are; auto: the plan chooses"),
      effect("offload_optimizer.pin_memory", T::boolean, "", "page-locked host memory"),
      effect("offload_optimizer.ratio", T::real, "zero.offload_ratio",
             "share of each unit's optimizer states that leaves the GPU"),
      effect("offload_param.device", T::text, "",
             "cpu or nvme: where parameter shards are; auto: the plan chooses"),
      effect("offload_param.pin_memory", T::boolean, "", "page-locked host memory"),
      notice("contiguous_gradients", T::boolean, "true", kNoSwitch),
      notice("reduce_scatter", T::boolean, "true", "gradients always go to their owner"),
      notice("use_multi_rank_bucket_allreduce", T::boolean, "true",
             "a bucket holds an equal slice of every rank's shard"),
      notice("allgather_partitions", T::boolean, "true", "parameters are always gathered"),
      notice("load_from_fp32_weights", T::boolean, "true", "master weights are loaded in fp32"),
      notice("elastic_checkpoint", T::boolean, "false",
             "checkpoints have one layout for all ranks and stages"),
      notice("sub_group_size", T::integer, "", "the optimizer steps unit by unit"),
      notice("stage3_max_reuse_distance", T::integer, "",
             "the schedule knows every use; stage3_max_live_parameters decides"),
      notice("stage3_model_persistence_threshold", T::integer, "",
             "stage3_param_persistence_threshold decides"),
      notice("stage3_module_granularity_threshold", T::integer, "0", "units are whole blocks"),
      notice("stage3_use_all_reduce_for_fetch_params", T::boolean, "false",
             "parameters are gathered by all-gather"),
      notice("stage3_allgather_sequential", T::boolean, "false", "units are gathered in one call"),
      notice("ignore_unused_parameters", T::boolean, "true", "every parameter gets a gradient"),
      refused("legacy_stage1", T::boolean, "false", "use stage 1"),
      notice("round_robin_gradients", T::boolean, "false",
             "every rank owns an equal slice of every unit, so the work is even"),
      refused("zero_hpz_partition_size", T::integer, "1", "ZeRO++ is not built"),
      refused("zero_quantized_weights", T::boolean, "false", "ZeRO++ is not built"),
      refused("zero_quantized_nontrainable_weights", T::boolean, "false", "ZeRO++ is not built"),
      refused("zero_quantized_gradients", T::boolean, "false", "ZeRO++ is not built"),
      refused("mics_shard_size", T::integer, "-1", "MiCS is not built"),
      refused("mics_hierarchical_params_gather", T::boolean, "false", "MiCS is not built"),
      notice("memory_efficient_linear", T::boolean, "", "layers have their own backward pass"),
      notice("pipeline_loading_checkpoint", T::boolean, "false", "every rank reads its own slice"),
      notice("override_module_apply", T::boolean, "", "there are no Python modules"),
      notice("log_trace_cache_warnings", T::boolean, "false",
             "the schedule is fixed before step 1"),
      notice("enable_sanity_checks", T::boolean, "false", "the schedule is always checked"),
      notice("save_muon_momentum_buffer_in_memory", T::boolean, "", "Muon is not built"),
      notice("cpu_offload_use_pin_memory", T::boolean, "", "use offload_optimizer.pin_memory"),
      notice("grad_hooks", T::boolean, "", "there are no hooks"),
      notice("leaf_module.classes", T::list, "", "units are whole blocks"),
      notice("leaf_module.names", T::list, "", "units are whole blocks"),
      notice("leaf_module.name_suffixes", T::list, "", "units are whole blocks"),
      effect("offload_param.nvme_path", T::text, "zero.param_nvme_path",
             "folder of parameters on disk"),
      effect("offload_param.max_in_cpu", T::integer, "zero.param_in_host",
             "elements of parameters that stay in host memory with device nvme"),
      notice("offload_param.buffer_count", T::integer, "", kPlanned),
      notice("offload_param.buffer_size", T::integer, "", kPlanned),
      effect("offload_optimizer.nvme_path", T::text, "zero.optimizer_nvme_path",
             "folder of optimizer states on disk"),
      effect("offload_optimizer.buffer_count", T::integer, "zero.optimizer_buffers",
             "units whose states are in host memory at once with device nvme, at least 2"),
      notice("offload_optimizer.buffer_size", T::integer, "", kPlanned),
      notice("offload_optimizer.max_in_cpu", T::integer, "", kPlanned),
      notice("offload_optimizer.pipeline", T::boolean, "", kPipelined),
      notice("offload_optimizer.pipeline_read", T::boolean, "", kPipelined),
      notice("offload_optimizer.pipeline_write", T::boolean, "", kPipelined),
      notice("offload_optimizer.fast_init", T::boolean, "",
             "states are written once, as they are loaded"),
      refused("offload_optimizer.super_offload", T::boolean, "false", "SuperOffload is not built"),
      notice("offload_optimizer.cpuadam_cores_perc", T::real, "", "SuperOffload is not built"),
  };
}

}  // namespace zt::config
