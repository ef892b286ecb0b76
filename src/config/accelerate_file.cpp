#include <algorithm>

#include "config/accelerate.h"
#include "config/text_distance.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

/// A key at the top of the file. `flag` empty: `quiet` values are what happens anyway, others are
/// refused.
struct AccelerateKey {
  const char* key;
  const char* flag;
  const char* quiet;
};

constexpr AccelerateKey kKeys[] = {{"compute_environment", "", "local_machine"},
                                   {"debug", "", "false"},
                                   {"use_cpu", "use_cpu", ""},
                                   {"mixed_precision", "mixed_precision", ""},
                                   {"downcast_bf16", "downcast_bf16", ""},
                                   {"same_network", "same_network", ""},
                                   {"enable_cpu_affinity", "enable_cpu_affinity", ""},
                                   {"num_processes", "num_processes", ""},
                                   {"num_machines", "num_machines", ""},
                                   {"machine_rank", "machine_rank", ""},
                                   {"gpu_ids", "gpu_ids", ""},
                                   {"main_process_ip", "main_process_ip", ""},
                                   {"main_process_port", "main_process_port", ""},
                                   {"rdzv_backend", "rdzv_backend", ""},
                                   {"main_training_function", "main_training_function", ""},
                                   {"tpu_name", "", ""},
                                   {"tpu_zone", "", ""},
                                   {"tpu_env", "", ""},
                                   {"tpu_use_cluster", "", "false"},
                                   {"tpu_use_sudo", "", "false"},
                                   {"tpu_vm", "", ""},
                                   {"command_file", "", ""},
                                   {"commands", "", ""}};

/// Maps of the file and the beginning of the flags that their keys stand for.
struct AccelerateMap {
  const char* key;
  const char* prefix;  ///< null: refused unless empty
};

constexpr AccelerateMap kMaps[] = {{"deepspeed_config", ""},        {"fsdp_config", "fsdp_"},
                                   {"dynamo_config", "dynamo_"},    {"megatron_lm_config", nullptr},
                                   {"parallelism_config", nullptr}, {"fp8_config", nullptr},
                                   {"mpirun_config", nullptr},      {"ipex_config", nullptr}};

/// Keys of `deepspeed_config`, beside those of `kStageKeys`.
constexpr const char* kDeepSpeedKeys[] = {
    "deepspeed_config_file",        "zero3_init_flag",    "deepspeed_moe_layer_cls_names",
    "deepspeed_multinode_launcher", "deepspeed_hostfile", "deepspeed_exclusion_filter",
    "deepspeed_inclusion_filter"};
/// Keys that a DeepSpeed file says instead.
constexpr const char* kStageKeys[] = {"zero_stage",
                                      "offload_optimizer_device",
                                      "offload_param_device",
                                      "offload_optimizer_nvme_path",
                                      "offload_param_nvme_path",
                                      "gradient_accumulation_steps",
                                      "gradient_clipping",
                                      "zero3_save_16bit_model"};

class AccelerateReader {
 public:
  AccelerateReader(const std::string& name, Problems& problems) : problems_(problems) {
    layer_.name = name;
  }

  Layer read(const Value& root) {
    for (const Member& member : root.members) read_top(member);
    return layer_;
  }

 private:
  [[nodiscard]] std::string place(int line) const {
    return layer_.name + ":" + std::to_string(line);
  }

  void read_top(const Member& member) {
    if (member.key == "distributed_type") {
      read_distributed_type(member);
      return;
    }
    for (const AccelerateKey& row : kKeys) {
      if (member.key != row.key) continue;
      if (*row.flag != '\0') {
        set(row.flag, member, "");
      } else if (!is_empty(member.value) && !is_listed(member.value.text, row.quiet)) {
        refuse(member, "");
      }
      return;
    }
    for (const AccelerateMap& map : kMaps) {
      if (member.key == map.key) {
        read_map(member, map);
        return;
      }
    }
    std::vector<std::string> names = {"distributed_type"};
    for (const AccelerateKey& row : kKeys) names.emplace_back(row.key);
    for (const AccelerateMap& map : kMaps) names.emplace_back(map.key);
    report_unknown(member, "", names);
  }

  static bool is_empty(const Value& value) {
    return value.is(Value::Kind::null) ||
           (value.members.empty() && value.items.empty() && value.text.empty());
  }

  void refuse(const Member& member, const std::string& section) {
    problems_.add(place(member.line), section + member.key + ": " + describe_value(member.value) +
                                          " is not built: training runs on CPUs and NVIDIA GPUs "
                                          "of machines that are reached directly");
  }

  void report_unknown(const Member& member, const std::string& section,
                      const std::vector<std::string>& names) {
    problems_.add(place(member.line), shown(section + member.key) +
                                          ": unknown key, the nearest valid key is " + section +
                                          nearest(member.key, names).name);
  }

  void set(const std::string& flag, const Member& member, const std::string& section) {
    const Value& value = member.value;
    if (is_empty(value)) return;
    std::string text = value.text;
    if (value.is(Value::Kind::array)) {
      for (const Value& item : value.items) text += (text.empty() ? "" : ",") + item.text;
    } else if (value.is(Value::Kind::object)) {
      problems_.add(place(member.line), section + member.key + ": got a map, expected a value");
      return;
    }
    layer_.flags.set(find_flag(flag)->name, {text, section + member.key, place(member.line)});
  }

  void read_distributed_type(const Member& member) {
    const std::string text = lower_case(member.value.text);
    const FlagValue on{"true", "distributed_type " + shown(member.value.text), place(member.line)};
    if (text == "deepspeed") {
      layer_.flags.set("use_deepspeed", on);
    } else if (text == "fsdp") {
      layer_.flags.set("use_fsdp", on);
    } else if (text == "multi_cpu") {
      layer_.flags.set("use_cpu", on);
    } else if (!is_listed(text, "no|multi_gpu")) {
      problems_.add(place(member.line),
                    "distributed_type: got " + describe_value(member.value) +
                        ", expected one of NO, MULTI_CPU, MULTI_GPU, DEEPSPEED, FSDP");
    }
  }

  void read_map(const Member& member, const AccelerateMap& map) {
    if (is_empty(member.value)) return;
    if (map.prefix == nullptr) {
      problems_.add(place(member.line), member.key + " is not built: only data parallelism is",
                    "Leave it out");
      return;
    }
    if (!member.value.is(Value::Kind::object)) {
      problems_.add(place(member.line),
                    member.key + ": got " + describe_value(member.value) + ", expected a map");
      return;
    }
    const bool has_file = member.value.find("deepspeed_config_file") != nullptr;
    for (const Member& inner : member.value.members) read_inner(inner, member.key, map, has_file);
  }

  void read_inner(const Member& member, const std::string& map, const AccelerateMap& row,
                  bool has_file) {
    const std::vector<std::string> names = names_of(row);
    const std::string section = map + ".";
    const std::string flag =
        member.key.rfind(row.prefix, 0) == 0 ? member.key : row.prefix + member.key;
    if (std::find(names.begin(), names.end(), flag) == names.end()) {
      report_unknown(member, section, names);
      return;
    }
    const bool is_stage_key =
        std::find(std::begin(kStageKeys), std::end(kStageKeys), flag) != std::end(kStageKeys);
    if (has_file && is_stage_key && lower_case(member.value.text) != "auto") {
      problems_.add(place(member.line),
                    section + member.key + " and " + section +
                        "deepspeed_config_file are given, as accelerate refuses it",
                    "Say it in the DeepSpeed file alone");
      return;
    }
    if (lower_case(member.value.text) != "auto") set(flag, member, section);
  }

  static std::vector<std::string> names_of(const AccelerateMap& map) {
    std::vector<std::string> names;
    if (*map.prefix == '\0') {
      names.assign(std::begin(kDeepSpeedKeys), std::end(kDeepSpeedKeys));
      names.insert(names.end(), std::begin(kStageKeys), std::end(kStageKeys));
      return names;
    }
    for (const Flag& flag : flag_table()) {
      if (flag.name.rfind(map.prefix, 0) == 0 && flag.name != "fsdp_config") {
        names.push_back(flag.name);
      }
    }
    return names;
  }

  Problems& problems_;
  Layer layer_;
};

}  // namespace

Layer read_accelerate_layer(const Value& root, const std::string& name, Problems& problems) {
  return AccelerateReader(name, problems).read(root);
}

Layer read_launch_environment(const Variables& environment) {
  struct Variable {
    const char* name;
    const char* flag;
  };
  constexpr std::int64_t kMostMinutes = 1'000'000;
  constexpr Variable kDeepSpeed[] = {
      {"ACCELERATE_DEEPSPEED_ZERO_STAGE", "zero_stage"},
      {"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "offload_optimizer_device"},
      {"ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE", "offload_param_device"},
      {"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_NVME_PATH", "offload_optimizer_nvme_path"},
      {"ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_NVME_PATH", "offload_param_nvme_path"},
      {"ACCELERATE_DEEPSPEED_ZERO3_INIT", "zero3_init_flag"},
      {"ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL", "zero3_save_16bit_model"},
      {"ACCELERATE_DEEPSPEED_MOE_LAYER_CLS_NAMES", "deepspeed_moe_layer_cls_names"},
      {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "gradient_accumulation_steps"},
      {"ACCELERATE_GRADIENT_CLIPPING", "max_grad_norm"}};
  constexpr Variable kFsdp[] = {
      {"FSDP_VERSION", "fsdp_version"},
      {"FSDP_SHARDING_STRATEGY", "fsdp_sharding_strategy"},
      {"FSDP_RESHARD_AFTER_FORWARD", "fsdp_reshard_after_forward"},
      {"FSDP_OFFLOAD_PARAMS", "fsdp_offload_params"},
      {"FSDP_AUTO_WRAP_POLICY", "fsdp_auto_wrap_policy"},
      {"FSDP_TRANSFORMER_CLS_TO_WRAP", "fsdp_transformer_layer_cls_to_wrap"},
      {"FSDP_MIN_NUM_PARAMS", "fsdp_min_num_params"},
      {"FSDP_BACKWARD_PREFETCH", "fsdp_backward_prefetch"},
      {"FSDP_FORWARD_PREFETCH", "fsdp_forward_prefetch"},
      {"FSDP_STATE_DICT_TYPE", "fsdp_state_dict_type"},
      {"FSDP_USE_ORIG_PARAMS", "fsdp_use_orig_params"},
      {"FSDP_SYNC_MODULE_STATES", "fsdp_sync_module_states"},
      {"FSDP_CPU_RAM_EFFICIENT_LOADING", "fsdp_cpu_ram_efficient_loading"},
      {"FSDP_ACTIVATION_CHECKPOINTING", "fsdp_activation_checkpointing"},
      {"FSDP_ACTIVATION_CHECKPOINTING_OFFLOAD", "fsdp_activation_checkpointing_offload"},
      {"FSDP_IGNORED_MODULES", "fsdp_ignored_modules"}};
  Layer layer;
  layer.name = "environment";
  const auto take = [&](const char* name, const char* flag) {
    const auto found = environment.find(name);
    if (found == environment.end() || is_listed(found->second, "auto|none|")) return;
    layer.flags.set(flag, {found->second, name, "environment"});
  };
  const auto is_on = [&](const char* name) {
    const auto found = environment.find(name);
    return found != environment.end() && parse_bool(found->second).value_or(false);
  };
  take(kTimeoutName, "ddp_timeout");
  if (const FlagValue* minutes = layer.flags.find_value("ddp_timeout")) {
    if (const auto count = parse_integer(minutes->text); count && *count <= kMostMinutes) {
      layer.flags.set("ddp_timeout",
                      {std::to_string(60 * *count), minutes->written, minutes->place});
    }
  }
  take("ACCELERATE_MIXED_PRECISION", "mixed_precision");
  take("ACCELERATE_DYNAMO_BACKEND", "dynamo_backend");
  if (is_on("ACCELERATE_USE_DEEPSPEED")) {
    take("ACCELERATE_USE_DEEPSPEED", "use_deepspeed");
    take("ACCELERATE_DEEPSPEED_CONFIG_FILE", "deepspeed");
    if (layer.flags.find("deepspeed") == nullptr) {  // a file says all of it, as in accelerate
      for (const Variable& variable : kDeepSpeed) take(variable.name, variable.flag);
    }
  }
  if (is_on("ACCELERATE_USE_FSDP")) {
    take("ACCELERATE_USE_FSDP", "use_fsdp");
    for (const Variable& variable : kFsdp) take(variable.name, variable.flag);
  }
  return layer;
}

}  // namespace zt::config
