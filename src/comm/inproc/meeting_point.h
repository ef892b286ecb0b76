#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "memory/view.h"

namespace zt::comm {

/// What a rank brings to a collective call.
struct Offer {
  const char* operation = "";
  View send, recv;
  int root = 0;
};

/// Where the threads of an in-process run meet: each leaves its offer and goes on once all have.
class MeetingPoint {
 public:
  MeetingPoint(int world, std::chrono::milliseconds timeout);

  /// Leaves `offer` and waits for all ranks. Until the matching `finish`, every rank may read the
  /// offers of all. Errors: CommError (timeout, abort, different operations or sizes).
  const std::vector<Offer>& meet(int rank, const Offer& offer);
  /// Waits until every rank is done reading.
  void finish(int rank, const char* operation);
  void abort(int rank, const std::string& reason);
  [[nodiscard]] int world() const { return static_cast<int>(offers_.size()); }

 private:
  void wait_for_all(int rank, const char* operation, bool heed_abort,
                    std::unique_lock<std::mutex>& lock);
  void check_agreement(int rank) const;
  [[noreturn]] void throw_aborted(int rank, const char* operation) const;

  const std::chrono::milliseconds timeout_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Offer> offers_;     // slot r written by rank r before it arrives
  std::vector<bool> present_;     // guarded by mutex_
  int num_present_ = 0;           // guarded by mutex_
  std::uint64_t generation_ = 0;  // guarded by mutex_
  std::string abort_reason_;      // guarded by mutex_; empty: not aborted
};

}  // namespace zt::comm
