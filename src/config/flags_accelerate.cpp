#include "config/flags_table.h"

namespace zt::config {
namespace {

constexpr const char* kAccelerate = "ZeRO without a file (names of accelerate launch)";

Flag special(const char* name, FlagType type, const char* values, const char* default_text,
             const char* help) {
  return {name, kAccelerate, FlagUse::applies, type, "", values, default_text, help};
}

}  // namespace

/// Names of `accelerate launch` for what DeepSpeed JSON says.
std::vector<Flag> accelerate_flags() {
  using T = FlagType;
  return {
      special("zero_stage", T::text, "", "0", "ZeRO stage, 0 to 3"),
      special("offload_optimizer_device", T::text, "none|cpu|nvme", "none",
              "Where the optimizer states lie"),
      special("offload_param_device", T::text, "none|cpu|nvme", "none",
              "Where the parameter shards lie (stage 3)"),
      special("offload_optimizer_nvme_path", T::text, "", "none",
              "Folder of optimizer states on NVMe"),
      special("offload_param_nvme_path", T::text, "", "none", "Folder of parameters on NVMe"),
      special("zero3_save_16bit_model", T::boolean, "", "false",
              "Gather the weights to save them in 16 bits"),
  };
}

}  // namespace zt::config
