#pragma once

#include <string>

#include "plan/candidate.h"

namespace zt::plan {

/// Columns of the classic arithmetic for `num_params` on `cards`, GB (10^9 bytes) per card, and,
/// from `planner`, what this program's plan says for the same placements with full recomputation:
/// model states alone, and all that a rank needs.
[[nodiscard]] std::string arithmetic_table(const Planner& planner,
                                           const zero::EngineOptions& options);

/// One line: the model states of that stage and offload by the two usual sums of a 16-bit run.
[[nodiscard]] std::string arithmetic_line(const config::ZeroConfig& zero, Numel num_params,
                                          int cards);

/// Two sums that guides print, from round numbers of parameters, each beside the plan of a model of
/// that size: 32B on 8 cards with 2+2+4 bytes, 7B on 4 cards with 2+2+8.
[[nodiscard]] std::string classic_examples(const Target& target,
                                           const zero::EngineOptions& options);

/// What the assumptions mean and why the plan says more.
[[nodiscard]] std::string assumptions_text();

/// The usual advice by model size (up to 13B stage 2 with recomputation, about 32B stage 2 with the
/// optimizer on the host, from 65B stage 3 with offload), what it needs on the target, and what to
/// take there instead. `target.device_memory` is known.
[[nodiscard]] std::string size_advice(const Target& target, const zero::EngineOptions& options);

}  // namespace zt::plan
