#include "comm/inproc/meeting_point.h"

#include <cstring>

namespace zt::comm {

MeetingPoint::MeetingPoint(int world, std::chrono::milliseconds timeout)
    : timeout_(timeout),
      offers_(static_cast<std::size_t>(world)),
      present_(static_cast<std::size_t>(world)) {}

const std::vector<Offer>& MeetingPoint::meet(int rank, const Offer& offer) {
  std::unique_lock lock(mutex_);
  offers_[static_cast<std::size_t>(rank)] = offer;
  wait_for_all(rank, offer.operation, /*heed_abort=*/true, lock);
  check_agreement(rank);
  return offers_;
}

void MeetingPoint::finish(int rank, const char* operation) {
  // All ranks that met come here without waiting for anything. None leaves before, aborted or not:
  // the others still read what it offered.
  std::unique_lock lock(mutex_);
  wait_for_all(rank, operation, /*heed_abort=*/false, lock);
}

void MeetingPoint::abort(int rank, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (abort_reason_.empty()) {
    abort_reason_ = "aborted by rank " + std::to_string(rank) + ": " + reason;
  }
  arrived_.notify_all();
}

void MeetingPoint::wait_for_all(int rank, const char* operation, bool heed_abort,
                                std::unique_lock<std::mutex>& lock) {
  const auto aborted = [&] { return heed_abort && !abort_reason_.empty(); };
  if (aborted()) {
    throw_aborted(rank, operation);
  }
  present_[static_cast<std::size_t>(rank)] = true;
  if (++num_present_ == world()) {
    num_present_ = 0;
    present_.assign(present_.size(), false);
    ++generation_;
    arrived_.notify_all();
    return;
  }
  const std::uint64_t mine = generation_;
  const bool met =
      arrived_.wait_for(lock, timeout_, [&] { return generation_ != mine || aborted(); });
  if (generation_ != mine) {
    return;
  }
  if (met) {
    throw_aborted(rank, operation);
  }
  std::string missing;
  for (std::size_t peer = 0; peer < present_.size(); ++peer) {
    if (!present_[peer]) {
      missing += (missing.empty() ? "" : ", ") + std::to_string(peer);
    }
  }
  abort_reason_ = "rank(s) " + missing + " did not arrive at " + operation + " within " +
                  std::to_string(timeout_.count()) + " ms";
  arrived_.notify_all();
  throw_aborted(rank, operation);
}

void MeetingPoint::check_agreement(int rank) const {
  const Offer& mine = offers_[static_cast<std::size_t>(rank)];
  for (std::size_t peer = 0; peer < offers_.size(); ++peer) {
    const Offer& other = offers_[peer];
    if (std::strcmp(mine.operation, other.operation) != 0) {
      throw CommError(std::string("[comm.") + mine.operation +
                      "] ranks call different operations: " + "got " + other.operation +
                      " on rank " + std::to_string(peer) + ", expected " + mine.operation +
                      " (rank " + std::to_string(rank) + ").");
    }
    if (mine.send.bytes() != other.send.bytes() || mine.root != other.root) {
      throw CommError(std::string("[comm.") + mine.operation + "] ranks disagree: got " +
                      std::to_string(other.send.bytes().value) + " bytes, root " +
                      std::to_string(other.root) + " on rank " + std::to_string(peer) +
                      ", expected " + std::to_string(mine.send.bytes().value) + " bytes, root " +
                      std::to_string(mine.root) + " (rank " + std::to_string(rank) + ").");
    }
  }
}

void MeetingPoint::throw_aborted(int rank, const char* operation) const {
  throw CommError(std::string("[comm.") + operation + "] " + abort_reason_ + " (rank " +
                  std::to_string(rank) + ").");
}

}  // namespace zt::comm
