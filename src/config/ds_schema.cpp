#include "config/ds_schema.h"

namespace zt::config {
namespace {

DsSection strict(const char* path) { return {path, true, "", false, false, false, ""}; }
DsSection loose(const char* path) { return {path, false, "", false, false, false, ""}; }

/// A section that a notice dismisses, whatever it holds.
DsSection dismissed(const char* path, const char* note) {
  return {path, false, "", false, false, true, note};
}
/// A strict section of a feature that has no effect here.
DsSection idle(const char* path, const char* note) {
  return {path, true, "enabled", false, false, false, note};
}
/// A feature that is refused when its switch is on.
DsSection feature(const char* path, const char* note, bool on_by_default = false,
                  const char* switch_key = "enabled", bool is_strict = false) {
  return {path, is_strict, switch_key, on_by_default, true, !is_strict, note};
}

std::vector<DsKey> make_keys() {
  std::vector<DsKey> all = ds_core_keys();
  for (auto* part : {&ds_zero_keys, &ds_other_keys}) {
    for (DsKey& key : (*part)()) all.push_back(std::move(key));
  }
  return all;
}

std::string parent_of(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string name_of(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string::npos ? path : path.substr(dot + 1);
}

}  // namespace

const std::vector<DsSection>& ds_sections() {
  constexpr const char* kNoMonitor = "metrics go to the log and to the output folder";
  constexpr const char* kSaving = "checkpoints have one layout for all ranks and stages";
  static const std::vector<DsSection> sections = {
      strict("zero_optimization"),
      strict("zero_optimization.offload_param"),
      strict("zero_optimization.offload_optimizer"),
      strict("zero_optimization.leaf_module"),
      strict("fp16"),
      strict("bf16"),
      loose("optimizer"),
      loose("optimizer.params"),
      loose("scheduler"),
      loose("scheduler.params"),
      loose("data_types"),
      loose("activation_checkpointing"),
      loose("checkpoint"),
      loose("timers"),
      strict("timers.throughput"),
      strict("tensor_parallel"),
      idle("csv_monitor", kNoMonitor),
      idle("tensorboard", kNoMonitor),
      idle("wandb", kNoMonitor),
      idle("comet", kNoMonitor),
      idle("comms_logger", "collectives are timed by the benchmark, not by the run"),
      dismissed("flops_profiler", "zt plan counts operations without running them"),
      loose("aio"),
      dismissed("pipeline", "there is no pipeline engine"),
      dismissed("autotuning", "it applies to DeepSpeed's autotuning launcher only"),
      dismissed("checkpoint.parallel_write", kSaving),
      dismissed("checkpoint.writer", kSaving),
      feature("zero_optimization.zenflow", "ZenFlow is not built", true, ""),
      feature("zero_optimization.zeropp_loco_param", "ZeRO++ is not built", true, ""),
      feature("amp", "Apex AMP is not built, use bf16"),
      feature("torch_autocast", "autocast is not built, use bf16"),
      feature("nebula", "checkpoints in Nebula are not built"),
      feature("datastates_ckpt", "DataStates checkpoints are not built", true),
      feature("elasticity", "elastic batch sizes are not built, give the batch keys"),
      feature("curriculum_learning", "curriculum learning is not built"),
      feature("data_efficiency", "data efficiency is not built"),
      feature("progressive_layer_drop", "progressive layer drop is not built"),
      feature("compression_training", "compression is not built"),
      feature("quantize_training", "quantized training is not built"),
      feature("eigenvalue", "eigenvalue estimates are not built"),
      feature("sparse_attention", "sparse attention is not built", true),
      feature("expert_parallel", "expert parallelism is not built"),
      feature("weight_quantization", "weight quantization is not built", true, "enabled", true),
      feature("hybrid_engine", "the hybrid engine is not built", false, "enabled", true),
      feature("compile", "DeepCompile is not built", false, "deepcompile", true),
  };
  return sections;
}

const std::vector<DsKey>& ds_keys() {
  static const std::vector<DsKey> keys = make_keys();
  return keys;
}

const std::vector<DsAlias>& ds_aliases() {
  static const std::vector<DsAlias> aliases = {
      {"bfloat16", "bf16", true},
      {"zero_optimization.stage3_gather_fp16_weights_on_model_save",
       "zero_optimization.stage3_gather_16bit_weights_on_model_save", true},
      {"zero_optimization.gather_fp16_weights_on_model_save",
       "zero_optimization.stage3_gather_16bit_weights_on_model_save", true},
      {"zero_optimization.max_live_parameters", "zero_optimization.stage3_max_live_parameters",
       false},
      {"zero_optimization.max_reuse_distance", "zero_optimization.stage3_max_reuse_distance",
       false},
      {"zero_optimization.prefetch_bucket_size", "zero_optimization.stage3_prefetch_bucket_size",
       false},
      {"zero_optimization.param_persistence_threshold",
       "zero_optimization.stage3_param_persistence_threshold", false},
      {"zero_optimization.model_persistence_threshold",
       "zero_optimization.stage3_model_persistence_threshold", false},
      {"zero_optimization.gather_16bit_weights_on_model_save",
       "zero_optimization.stage3_gather_16bit_weights_on_model_save", false},
      {"zero_optimization.module_granularity_threshold",
       "zero_optimization.stage3_module_granularity_threshold", false},
      {"zero_optimization.use_all_reduce_for_fetch_params",
       "zero_optimization.stage3_use_all_reduce_for_fetch_params", false},
      {"zero_optimization.allgather_sequential", "zero_optimization.stage3_allgather_sequential",
       false},
  };
  return aliases;
}

const DsKey* find_ds_key(const std::string& path) {
  for (const DsKey& key : ds_keys()) {
    if (key.path == path) return &key;
  }
  return nullptr;
}

const DsSection* find_ds_section(const std::string& path) {
  for (const DsSection& section : ds_sections()) {
    if (section.path == path) return &section;
  }
  return nullptr;
}

std::vector<std::string> ds_names_in(const std::string& path) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& full) {
    if (parent_of(full) == path) names.push_back(name_of(full));
  };
  for (const DsSection& section : ds_sections()) add(section.path);
  for (const DsKey& key : ds_keys()) add(key.path);
  for (const DsAlias& alias : ds_aliases()) add(alias.alias);
  return names;
}

std::vector<std::string> ds_places_of(const std::string& name, const std::string& path) {
  std::vector<std::string> places;
  const auto add = [&](const std::string& full) {
    if (name_of(full) == name && parent_of(full) != path) places.push_back(full);
  };
  for (const DsSection& section : ds_sections()) add(section.path);
  for (const DsKey& key : ds_keys()) add(key.path);
  return places;
}

}  // namespace zt::config
