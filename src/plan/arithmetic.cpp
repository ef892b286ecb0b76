#include "plan/arithmetic.h"

#include <fmt/format.h>

#include "zero/residency.h"

namespace zt::plan {

std::string placement_name(const Placement& placement) {
  const char* host = "";
  if (placement.optimizer_on_host && placement.params_on_host) {
    host = ", optimizer+params on the host";
  } else if (placement.optimizer_on_host) {
    host = ", optimizer on the host";
  } else if (placement.params_on_host) {
    host = ", params on the host";
  }
  return fmt::format("stage {}{}", placement.stage, host);
}

void apply(const Placement& placement, config::ZeroConfig& zero) {
  zero.stage = placement.stage;
  zero.optimizer_place = placement.optimizer_on_host ? Place::host : Place::device;
  zero.param_place = placement.params_on_host ? Place::host : Place::device;
}

double states_per_card(const Placement& placement, const StateBytes& bytes, double num_params,
                       int cards) {
  config::ZeroConfig zero;
  apply(placement, zero);
  const auto residency = zero::residency(zero);
  const auto part = [cards](double amount, bool sharded, Place place) {
    if (place != Place::device) return 0.0;
    return sharded ? amount / cards : amount;
  };
  return num_params * (part(bytes.param, residency.params_sharded, residency.param_place) +
                       part(bytes.grad, residency.grads_sharded, Place::device) +
                       part(bytes.states, residency.states_sharded, residency.state_place));
}

}  // namespace zt::plan
