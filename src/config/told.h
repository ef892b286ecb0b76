#pragma once

#include <string>
#include <vector>

namespace zt::config {

/// What `zt train` is asked to tell instead of training.
struct Told {
  bool dry_run = false;       ///< what the run would be
  bool check_memory = false;  ///< what this machine's GPUs have and presets need
  std::string device;         ///< GPU by name that a dry run is for; empty: this machine's
};

/// Reads --dry_run, --check_memory and --device. What is wrong with other flags is not looked at.
[[nodiscard]] Told read_told(const std::vector<std::string>& args);

}  // namespace zt::config
