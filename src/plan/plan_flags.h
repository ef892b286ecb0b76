#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/units.h"

namespace zt::plan {

/// The flags of `zt plan` that `zt train` does not have; the rest are its flags.
struct PlanFlags {
  std::string model;        ///< --model
  std::string output;       ///< --output; empty: nothing is written
  std::string device_file;  ///< --device_file; empty: times come from a data sheet
  std::string device;       ///< --device; empty: one with about as much memory
  bool overwrite = false, schedule = false, details = false, tables = false, help = false;
  std::optional<int> zero_stage;  ///< --zero_stage: only this stage
  int num_nodes = 1;              ///< --num_nodes: machines that the ranks are spread over evenly
  std::vector<std::string> rest;  ///< for config::resolve
};

/// Splits the arguments. Errors: ConfigError listing every wrong value.
PlanFlags parse_plan_flags(const std::vector<std::string>& args);

/// What parse_plan_flags reads, as help text.
std::string plan_flags_help();

}  // namespace zt::plan
