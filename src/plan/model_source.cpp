#include <filesystem>
#include <iostream>

#include "config/text_values.h"
#include "model/qwen3.h"
#include "plan/run_plan.h"

namespace zt::plan {
namespace {

model::Qwen3Config config_of(const std::string& folder_or_shape) {
  if (const auto shape = model::named_shape(folder_or_shape)) return *shape;
  std::error_code error;
  if (std::filesystem::is_directory(folder_or_shape, error)) {
    return model::read_qwen3_config(folder_or_shape);
  }
  std::string names;
  for (const auto& name : model::shape_names()) names += " " + name;
  throw ConfigError("[plan.model] --model: got '" + config::shown(folder_or_shape) +
                    "', expected a folder with config.json or one of" + names + ".");
}

}  // namespace

NamedModel find_model(const std::string& folder_or_shape) {
  const auto config = config_of(folder_or_shape);
  return {folder_or_shape, config.hidden, model::make_qwen3(config), config};
}

int run_plan(const std::vector<std::string>& args) { return run_plan(args, find_model, std::cout); }

}  // namespace zt::plan
