#pragma once

#include <string>
#include <vector>

#include "config/flags.h"
#include "config/json_reader.h"
#include "config/problems.h"

namespace zt::config {

/// A key of DeepSpeed JSON that something else than the document says: a flag of
/// `accelerate launch`, a short form of a task file.
struct DsSetting {
  std::string path;  ///< `zero_optimization.stage`
  FlagValue said;
};

/// The settings among the flags, in the order of their keys.
[[nodiscard]] std::vector<DsSetting> ds_settings(const FlagValues& flags);

/// Writes the settings into a document, where it leaves them out or says `"auto"`. A value of the
/// document that differs is a problem that names both places. `name`: the document's.
void add_settings(Value& document, const std::string& name, const std::vector<DsSetting>& settings,
                  Problems& problems);

}  // namespace zt::config
