#pragma once

#include <array>
#include <string>

#include "config/config.h"

namespace zt::plan {

/// What one parameter takes as model states, in bytes. Nothing else of a run is counted.
struct StateBytes {
  double param = 2, grad = 2, states = 12;

  [[nodiscard]] double total() const { return param + grad + states; }
};

/// One way that guides count bytes, and what it assumes.
struct Assumption {
  const char* name;
  StateBytes bytes;
  const char* means;
};

/// From the least to what zt train keeps. Source of the third: ZeRO (Rajbhandari et al., 2020),
/// section 3.1.
inline constexpr std::array<Assumption, 4> kAssumptions{
    {{"2+2+4", {2, 2, 4}, "16-bit parameters, gradients and two moments; no fp32 master"},
     {"2+2+8", {2, 2, 8}, "fp32 moments; no fp32 master, updates are rounded to 16 bits"},
     {"2+2+12", {2, 2, 12}, "fp32 moments and master; gradients are summed in 16 bits"},
     {"2+4+12", {2, 4, 12}, "fp32 moments, master and sums of gradients: zt train --bf16"}}};

/// A row of the tables: a ZeRO stage with what it keeps on the host.
struct Placement {
  int stage = 0;
  bool optimizer_on_host = false, params_on_host = false;
};

/// Stages 0 to 3, stage 2 and 3 with offload, in the order guides list them.
inline constexpr std::array<Placement, 8> kPlacements{
    {{0}, {1}, {2}, {2, true}, {3}, {3, false, true}, {3, true, false}, {3, true, true}}};

/// `stage 2, optimizer on the host`.
[[nodiscard]] std::string placement_name(const Placement& placement);

/// The stage and offload of `placement` in a configuration.
void apply(const Placement& placement, config::ZeroConfig& zero);

/// Bytes of model states on one card: parameters x bytes, each part over the cards where the stage
/// shards it, less what lies on the host. Source: ZeRO, section 5.
[[nodiscard]] double states_per_card(const Placement& placement, const StateBytes& bytes,
                                     double num_params, int cards);

}  // namespace zt::plan
