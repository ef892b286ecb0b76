#include "train/retention_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace zt::train {
namespace {

/// How long the reading of one checkpoint gives way to saves, in all: far below the time after
/// which ranks that have read their part take a silent peer for lost.
constexpr std::chrono::seconds kPatience{120};
/// The same while no checkpoint was found whole: nothing can be deleted before that.
constexpr std::chrono::seconds kFirstPatience{10};

}  // namespace

RetentionQueue::RetentionQueue(checkpoint::CheckpointStore& store,
                               checkpoint::RankExchange exchange)
    : store_(store), exchange_(std::move(exchange)) {}

void RetentionQueue::set_saving(bool saving) {
  const std::lock_guard lock(mutex_);
  state_.saving = saving;
  changed_.notify_all();
}

void RetentionQueue::post(checkpoint::Retention retention) {
  int index = 0;
  {
    const std::lock_guard lock(mutex_);
    index = ++state_.posted;
    state_.retention = std::move(retention);
  }
  remove();
  worker_.post([this, index] { run(index); });
}

void RetentionQueue::run(int index) {
  std::exception_ptr error;
  if (!failed()) {
    try {
      if (const auto folder = choose(index); !folder.empty()) check(folder);
    } catch (...) {
      error = std::current_exception();
    }
  }
  const std::lock_guard lock(mutex_);
  if (state_.error == nullptr) state_.error = error;
  ++state_.done;
  changed_.notify_all();
}

std::string RetentionQueue::choose(int index) {
  std::string mine;
  {
    const std::lock_guard lock(mutex_);
    if (exchange_.rank == 0 && state_.posted == index) {
      // Ranks that posted less do so soon; those that posted more follow rank 0.
      const auto found = checkpoint::list_checkpoints(store_.output_dir());
      if (!outdated(found, state_.retention).empty() && found.front().path != state_.whole) {
        mine = state_.checked = found.front().path;
      }
    }
  }
  return exchange_.gather_text(mine).front();
}

void RetentionQueue::check(const std::string& folder) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = state_.whole.empty();
  }
  std::chrono::steady_clock::duration patience = first ? kFirstPatience : kPatience;
  const auto problems =
      checkpoint::CheckpointStore::problems(folder, exchange_, [&] { give_way(patience); });
  {
    const std::lock_guard lock(mutex_);
    state_.checked.clear();
    state_.whole = problems.empty() ? folder : "";
    if (!problems.empty()) {
      state_.notes.push_back(
          fmt::format("{}: does not verify, nothing is deleted: {} ({} problems)", folder,
                      problems.front(), problems.size()));
    }
  }
  remove();
}

void RetentionQueue::give_way(std::chrono::steady_clock::duration& patience) {
  if (patience <= patience.zero()) return;
  const auto begun = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience, [this] { return !state_.saving; });
  patience -= std::chrono::steady_clock::now() - begun;
}

void RetentionQueue::remove() {
  if (exchange_.rank != 0) return;
  const std::lock_guard removing(removing_);  // training asks for `failed` and must not wait
  checkpoint::Retention retention;
  std::vector<std::string> kept;
  {
    const std::lock_guard lock(mutex_);
    if (state_.whole.empty()) return;
    retention = state_.retention;
    kept = {state_.whole, state_.checked};
  }
  auto lines = store_.remove_outdated(retention, kept);
  const std::lock_guard lock(mutex_);
  std::move(lines.begin(), lines.end(), std::back_inserter(state_.notes));
}

std::vector<std::string> RetentionQueue::take_notes() {
  const std::lock_guard lock(mutex_);
  return std::exchange(state_.notes, {});
}

void RetentionQueue::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return state_.done == state_.posted; });
  if (state_.error != nullptr) std::rethrow_exception(state_.error);
}

bool RetentionQueue::failed() {
  const std::lock_guard lock(mutex_);
  return state_.error != nullptr;
}

}  // namespace zt::train
