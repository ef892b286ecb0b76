#include "plan/ds_config.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/replaceable_file.h"
#include "zero/residency.h"

namespace zt::plan {

std::string ds_config_json(const zero::EngineOptions& options) {
  using Json = nlohmann::ordered_json;
  const auto& zero = options.zero;
  Json root;
  root["train_micro_batch_size_per_gpu"] = options.shape.batch;
  root["gradient_accumulation_steps"] = options.micro_steps;
  const auto& precision = options.precision;
  if (precision.compute == DType::bf16) root["bf16"] = {{"enabled", true}};
  if (precision.compute == DType::f16) {
    root["fp16"] = {{"enabled", true},
                    {"loss_scale", precision.loss_scale},
                    {"initial_scale_power", precision.initial_scale_power},
                    {"loss_scale_window", precision.loss_scale_window},
                    {"hysteresis", precision.hysteresis},
                    {"consecutive_hysteresis", precision.consecutive_hysteresis},
                    {"min_loss_scale", precision.min_loss_scale}};
  }
  if (precision.communication) {
    root["communication_data_type"] = to_string(*precision.communication);
  }
  Json section;
  section["stage"] = zero.stage;
  section["overlap_comm"] = zero.overlap_comm;
  section["contiguous_gradients"] = true;
  section["reduce_bucket_size"] = zero.reduce_bucket_size;
  section["allgather_bucket_size"] = zero.allgather_bucket_size;
  const auto offload = [&](const char* key, Place place, const std::string& nvme_path) {
    if (place == Place::device) return;
    section[key] = {{"device", place == Place::host ? "cpu" : "nvme"},
                    {"pin_memory", zero.pin_memory}};
    if (place == Place::nvme) section[key]["nvme_path"] = nvme_path;
  };
  offload("offload_optimizer", zero.optimizer_place, zero.optimizer_nvme_path);
  offload("offload_param", zero.param_place, zero.param_nvme_path);
  if (zero.optimizer_place != Place::device && zero.offload_ratio < 1) {
    section["offload_optimizer"]["ratio"] = zero.offload_ratio;
  }
  if (zero::residency(zero).params_sharded) {
    section["stage3_prefetch_bucket_size"] = zero.prefetch_bucket_size;
    section["stage3_max_live_parameters"] = zero.max_live_parameters;
    section["stage3_param_persistence_threshold"] = zero.param_persistence_threshold;
    section["stage3_gather_16bit_weights_on_model_save"] = true;
  }
  root["zero_optimization"] = section;
  return root.dump(2) + "\n";
}

void write_new_file(const std::string& path, const std::string& text, bool overwrite) {
  std::error_code error;
  if (std::filesystem::exists(path, error) && !overwrite) {
    throw ConfigError("[plan.output] '" + path +
                      "' exists. Name another file or give --overwrite.");
  }
  const auto target = replaceable_file(path, "plan.output");
  const auto part = target + ".part";
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file) std::filesystem::rename(part, target, error);
  if (!file || error) {
    std::error_code ignored;
    std::filesystem::remove(part, ignored);
    throw ConfigError("[plan.output] '" + path +
                      "' cannot be written. Name a file in a folder "
                      "that exists and may be written.");
  }
}

}  // namespace zt::plan
