#pragma once

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "model/family.h"
#include "zero/engine.h"

namespace zt::plan {

/// A model to plan: sizes only, no weights.
struct NamedModel {
  std::string name;
  std::int64_t hidden_size = 0;  ///< what DeepSpeed's `"auto"` bucket sizes are computed from
  zero::ModelParts parts;
  std::optional<model::Model> sizes;  ///< for the time of a step; absent: not predicted
};

/// Finds a model by folder or shape name. Errors: ConfigError or FileError.
using ModelSource = std::function<NamedModel(const std::string& folder_or_shape)>;

/// A folder with config.json, or a shape as `Qwen3-0.6B`.
/// Errors: ConfigError for an unknown name or an unsupported model, FileError for a damaged file.
NamedModel find_model(const std::string& folder_or_shape);

/// `zt plan`: prints what every ZeRO stage, offload and recompute mode needs, marks the one to take
/// and writes its DeepSpeed JSON. Needs no GPU. `args` are those after the word `plan`. Returns 0,
/// or 1 when nothing fits. Errors: ConfigError (exit code 2) for wrong flags and values, FileError
/// (3) for a damaged model folder.
int run_plan(const std::vector<std::string>& args);

/// The same with another source of models, printing to `out`.
int run_plan(const std::vector<std::string>& args, const ModelSource& source, std::ostream& out);

/// `zt plan --help`.
std::string plan_help();

}  // namespace zt::plan
