#include <iostream>

#include "config/text_values.h"
#include "model/family.h"
#include "plan/run_plan.h"
#include "plan/sizes.h"

namespace zt::plan {
NamedModel find_model(const std::string& folder_or_shape) {
  if (is_size(folder_or_shape)) return model_of_size(folder_or_shape);
  const auto model = model::find_model(folder_or_shape, "[plan.model] --model: got '" +
                                                            config::shown(folder_or_shape) +
                                                            "' (7B 13B 32B 65B 70B are known too)");
  return {folder_or_shape, model.hidden(), model.make(), model};
}

int run_plan(const std::vector<std::string>& args) { return run_plan(args, find_model, std::cout); }

}  // namespace zt::plan
