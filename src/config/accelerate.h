#pragma once

#include "config/layer.h"

namespace zt::config {

/// accelerate's `default_config.yaml` in the words of flags. Unknown keys are problems that name
/// the nearest key, as accelerate refuses them too.
[[nodiscard]] Layer read_accelerate_layer(const Value& root, const std::string& name,
                                          Problems& problems);

/// What launchers of others tell their workers: `ACCELERATE_*`, `FSDP_*` when it says FSDP, and
/// DEEPSPEED_TIMEOUT.
[[nodiscard]] Layer read_launch_environment(const Variables& environment);

/// Replaces accelerate's and FSDP's names by flags that say the same here: `mixed_precision`,
/// `num_processes`, `use_deepspeed`, `fsdp_*`. The mapping of FSDP names is a notice; what cannot
/// be honoured is a problem.
void lower_accelerate(Layer& all, const Facts& facts, Problems& problems,
                      std::vector<std::string>& notices);

}  // namespace zt::config
