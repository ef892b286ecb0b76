#include "train/retention_queue.h"

#include <iterator>
#include <utility>

namespace zt::train {

RetentionQueue::RetentionQueue(checkpoint::CheckpointStore& store,
                               checkpoint::RankExchange exchange)
    : store_(store), exchange_(std::move(exchange)) {}

void RetentionQueue::post(checkpoint::Retention retention) {
  {
    const std::lock_guard lock(mutex_);
    ++open_;
  }
  worker_.post([this, retention = std::move(retention)] { run(retention); });
}

void RetentionQueue::run(const checkpoint::Retention& retention) {
  std::vector<std::string> notes;
  std::exception_ptr error;
  if (!failed()) {
    try {
      notes = store_.apply(retention, exchange_);
    } catch (...) {
      error = std::current_exception();
    }
  }
  const std::lock_guard lock(mutex_);
  std::move(notes.begin(), notes.end(), std::back_inserter(notes_));
  if (error_ == nullptr) error_ = error;
  --open_;
  changed_.notify_all();
}

std::vector<std::string> RetentionQueue::take_notes() {
  const std::lock_guard lock(mutex_);
  return std::exchange(notes_, {});
}

void RetentionQueue::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return open_ == 0; });
  if (error_ != nullptr) std::rethrow_exception(error_);
}

bool RetentionQueue::failed() {
  const std::lock_guard lock(mutex_);
  return error_ != nullptr;
}

}  // namespace zt::train
