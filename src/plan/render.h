#pragma once

#include <string>
#include <vector>

#include "plan/table.h"

namespace zt::plan {

/// The table, one line per row: what each rank needs, what leaves it in a step, and whether it
/// fits; the row `best` is marked.
std::string render(const std::vector<Candidate>& rows, const Target& target,
                   std::optional<std::size_t> best);

/// `recompute none, coalesce 16, reduce at the boundary, retain on, reductions beside the next
/// backward`: what the auto choices became.
std::string describe_choices(const zero::EngineOptions& options);

}  // namespace zt::plan
