#pragma once

#include <optional>
#include <vector>

#include "plan/candidate.h"

namespace zt::plan {

/// ZeRO stage x offload x recompute: every combination that the residency table allows, in that
/// order, each as small as its stage promises (nothing retained, reduce_at of the residency table).
/// The other options are taken from `options`, also recompute and reduce_at where they are set.
/// `offload` false: without the rows that offload.
std::vector<Candidate> table(const Planner& planner, const zero::EngineOptions& options,
                             bool offload = true);

/// A row: `options` without what a run does with the room that is left.
[[nodiscard]] Candidate table_row(const Planner& planner, zero::EngineOptions options);

/// Index of the row to take among those that fit `share` of the memory: no offload before offload
/// of states before offload of parameters too, then the least recomputation, then the fewest bytes
/// sent, then the lowest stage. Nothing when no row fits.
std::optional<std::size_t> pick(const std::vector<Candidate>& rows, const Target& target,
                                double share = kUsableShare);

/// `none`, `optimizer`, `optimizer+params`, `params`.
const char* offload_name(const config::ZeroConfig& zero);

}  // namespace zt::plan
