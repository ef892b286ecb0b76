#pragma once

#include <optional>
#include <string>

#include "comm/store.h"

namespace zt::comm {

/// Failure::rank when no single rank is to blame.
inline constexpr int kAllRanks = -2;

/// Who failed first, and why. `rank` -1: the launcher's store.
struct Failure {
  int rank = -1;
  std::string message;
};

/// The one place where ranks write that the run has failed. The first writer wins, so that every
/// rank's report names the same, first failure.
class FailureBoard {
 public:
  /// `store` outlives the board.
  explicit FailureBoard(Store& store) : store_(store) {}
  /// Writes `failure` if nothing is there yet. Returns what is there then. Errors: CommError.
  Failure report(const Failure& failure);
  [[nodiscard]] std::optional<Failure> first();

 private:
  Store& store_;
};

}  // namespace zt::comm
