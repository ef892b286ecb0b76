#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"

namespace zt::zero {

/// A few host values of every rank, by rank. All ranks pass the same number of values. What is
/// returned is what the ranks gave: when the exchange of any rank was cut short, every rank throws.
/// Blocks the host. Errors: CommError.
[[nodiscard]] std::vector<std::vector<std::int64_t>> gather_values(
    comm::Communicator& communicator, const std::vector<std::int64_t>& mine);
[[nodiscard]] std::vector<std::vector<double>> gather_values(comm::Communicator& communicator,
                                                             const std::vector<double>& mine);

/// Sum and largest of one value of every rank, equal on all.
[[nodiscard]] std::int64_t sum_over_ranks(comm::Communicator& communicator, std::int64_t mine);
[[nodiscard]] std::int64_t max_over_ranks(comm::Communicator& communicator, std::int64_t mine);

}  // namespace zt::zero
