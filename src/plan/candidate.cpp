#include "plan/candidate.h"

#include "zero/residency.h"

namespace zt::plan {

bool fits(const Candidate& candidate, const Target& target, double share) {
  const auto device = static_cast<double>(target.device_memory.value) * share;
  if (target.device_memory.value > 0 &&
      static_cast<double>(candidate.memory.device_total().value) > device) {
    return false;
  }
  return target.host_memory.value == 0 || candidate.host_of_machine(target) <= target.host_memory;
}

Planner::Planner(const zero::ModelParts& model, const Target& target)
    : model_(model),
      target_(target),
      layout_(layout::ModelLayout::make(model.params, model.units, target.world)) {}

schedule::Program Planner::program(const zero::EngineOptions& options) const {
  const auto info = zero::describe(model_, layout_, options, target_.device);
  return schedule::build(info, zero::build_options(options, target_.world));
}

Candidate Planner::measure(const zero::EngineOptions& options) const {
  const auto info = zero::describe(model_, layout_, options, target_.device);
  const auto built = schedule::build(info, zero::build_options(options, target_.world));
  return {options, plan::measure(built, info, target_.device, target_.world),
          step_costs(built, info, target_.world, options.micro_steps), forward_flops_of(info)};
}

}  // namespace zt::plan
