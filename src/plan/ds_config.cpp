#include "plan/ds_config.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/replaceable_file.h"
#include "config/text_values.h"
#include "zero/residency.h"

namespace zt::plan {

namespace {

using Json = nlohmann::ordered_json;
using config::Value;

Json as_json(const Value& value) {
  switch (value.kind) {
    case Value::Kind::null:
      return nullptr;
    case Value::Kind::boolean:
      return config::parse_bool(value.text).value_or(false);
    case Value::Kind::number: {
      auto number = Json::parse(value.text, nullptr, false);  // written otherwise: stays a text
      return number.is_discarded() ? Json(value.text) : number;
    }
    case Value::Kind::text:
      return value.text;
    case Value::Kind::array: {
      Json list = Json::array();
      for (const auto& item : value.items) list.push_back(as_json(item));
      return list;
    }
    default: {
      Json object = Json::object();
      for (const auto& member : value.members) object[member.key] = as_json(member.value);
      return object;
    }
  }
}

/// A section to write into: what the user's file has there stays where it is not overwritten.
Json& section_of(Json& object, const char* key) {
  if (!object[key].is_object()) object[key] = Json::object();
  return object[key];
}

}  // namespace

std::string ds_config_json(const zero::EngineOptions& options, const std::optional<Value>& given) {
  const auto& zero = options.zero;
  Json root = given ? as_json(*given) : Json::object();
  root["train_micro_batch_size_per_gpu"] = options.shape.batch;
  root["gradient_accumulation_steps"] = options.micro_steps;
  const auto& precision = options.precision;
  if (precision.compute == DType::bf16) section_of(root, "bf16")["enabled"] = true;
  if (precision.compute == DType::f16) {
    section_of(root, "fp16")
        .update({{"enabled", true},
                 {"loss_scale", precision.loss_scale},
                 {"initial_scale_power", precision.initial_scale_power},
                 {"loss_scale_window", precision.loss_scale_window},
                 {"hysteresis", precision.hysteresis},
                 {"consecutive_hysteresis", precision.consecutive_hysteresis},
                 {"min_loss_scale", precision.min_loss_scale}});
  }
  if (precision.communication) {
    root["communication_data_type"] = to_string(*precision.communication);
  }
  Json& section = section_of(root, "zero_optimization");
  for (const char* old : {"cpu_offload", "cpu_offload_param", "cpu_offload_params"}) {
    section.erase(old);  // said below
  }
  section["stage"] = zero.stage;
  section["overlap_comm"] = zero.overlap_comm;
  section["contiguous_gradients"] = true;
  section["reduce_bucket_size"] = zero.reduce_bucket_size;
  section["allgather_bucket_size"] = zero.allgather_bucket_size;
  const auto write_offload = [&](const char* key, Place place, const std::string& nvme_path) {
    if (place == Place::device) {
      section.erase(key);
      return;
    }
    auto& offload = section_of(section, key);
    offload["device"] = place == Place::host ? "cpu" : "nvme";
    offload["pin_memory"] = zero.pin_memory;
    if (place == Place::nvme) offload["nvme_path"] = nvme_path;
  };
  write_offload("offload_optimizer", zero.optimizer_place, zero.optimizer_nvme_path);
  write_offload("offload_param", zero.param_place, zero.param_nvme_path);
  if (zero.optimizer_place != Place::device) {
    auto& offload = section["offload_optimizer"];
    offload.erase("ratio");
    if (zero.offload_ratio < 1) offload["ratio"] = zero.offload_ratio;
  }
  if (zero::residency(zero).params_sharded) {
    section["stage3_prefetch_bucket_size"] = zero.prefetch_bucket_size;
    section["stage3_max_live_parameters"] = zero.max_live_parameters;
    section["stage3_param_persistence_threshold"] = zero.param_persistence_threshold;
    section["stage3_gather_16bit_weights_on_model_save"] = true;
  }
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
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
