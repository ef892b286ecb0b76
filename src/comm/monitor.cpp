#include "comm/monitor.h"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "comm/process_identity.h"

namespace zt::comm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

std::string key(const char* kind, int rank) { return fmt::format("{}/{}", kind, rank); }

}  // namespace

struct Monitor::State {
  State(std::unique_ptr<Store> store_in, int rank_in, int world_in, int store_rank_in,
        const MonitorOptions& options_in)
      : store(std::move(store_in)),
        board(*store),
        rank(rank_in),
        world(world_in),
        store_rank(store_rank_in),
        options(options_in),
        positions(options_in.positions, rank_in, world_in, store_rank_in) {}

  // Used by the beating thread alone.
  std::unique_ptr<Store> store;
  FailureBoard board;
  std::string next_identity, store_identity;
  std::string next_beat;
  Clock::time_point next_beat_at = Clock::now();
  std::optional<Clock::time_point> others_left_at;

  const int rank, world, store_rank;
  const MonitorOptions options;
  PositionBoard positions;

  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  // Guarded by mutex.
  bool leaving = false, left = false, all_left = false;
  bool stopping = false, beating_ended = false, alarm_ended = false;
  bool aborting = false, abort_ended = false;  // the hook runs; its thread has ended
  std::optional<std::string> own_failure;      // to be written to the board
  std::optional<Failure> failure;
  Clock::time_point last_cycle = Clock::now();
  std::function<void(const std::string&)> hook;

  /// Needs mutex.
  void set_failure(const Failure& first) {
    if (failure) {
      return;
    }
    // One living rank writes the table, before anybody is woken up.
    if (rank == (first.rank == 0 ? 1 : 0)) {
      const std::string table = positions.table(first.rank);
      if (!table.empty()) log::error("comm", describe(first) + "\n" + table);
    }
    failure = first;
    changed.notify_all();
  }

  [[nodiscard]] bool has_failed() const {
    const std::lock_guard lock(mutex);
    return failure.has_value();
  }

  void beat_until_stopped();
  bool cycle();
  void watch_next_rank();
  void watch_progress();
  void post(const Failure& noticed);
  bool have_all_left();
  void write_own_failure();
  void lose_store(const std::string& error);
  void linger();
  void alarm_until_stopped();
  void abort_until_stopped();
};

void Monitor::State::beat_until_stopped() {
  try {
    while (cycle()) {
      std::unique_lock lock(mutex);
      const bool waits_for_others = left && !all_left;
      changed.wait_for(lock, waits_for_others ? milliseconds{20} : options.poll,
                       [&] { return stopping || (own_failure && !failure) || (leaving && !left); });
    }
    linger();
  } catch (const CommError& error) {
    lose_store(error.what());
  }
  const std::lock_guard lock(mutex);
  beating_ended = true;
  changed.notify_all();
}

/// One round over the store. Returns false when the monitor stops.
bool Monitor::State::cycle() {
  bool leave_now = false;
  {
    const std::lock_guard lock(mutex);
    if (stopping && (!own_failure || failure)) {
      return false;
    }
    leave_now = leaving && !left;
  }
  if (leave_now) {
    store->set(key("left", rank), "1");
    store->add("num_left", 1);
  }
  store->add(key("beat", rank), 1);
  positions.cycle(*store);
  write_own_failure();
  if (const auto first = board.first()) {
    if (!has_failed()) positions.refresh(*store);
    const std::lock_guard lock(mutex);
    set_failure(*first);
  } else if (world > 1) {
    watch_next_rank();
    watch_progress();
  }
  if (store_identity.empty() && store_rank >= 0) {
    store_identity = store->try_get(key("process", store_rank)).value_or("");
  }
  const bool others_left = have_all_left();
  const std::lock_guard lock(mutex);
  left = left || leave_now;
  all_left = others_left;
  last_cycle = Clock::now();
  changed.notify_all();
  return true;
}

/// The host of the store also waits until the others know, as it takes the store away.
bool Monitor::State::have_all_left() {
  if (store->add("num_left", 0) < world) {
    return false;
  }
  if (!others_left_at) {
    others_left_at = Clock::now();
    store->add("num_done", 1);
  }
  return rank != store_rank || store->add("num_done", 0) == world ||
         Clock::now() - *others_left_at > options.grace;
}

void Monitor::State::write_own_failure() {
  std::optional<std::string> message;
  {
    const std::lock_guard lock(mutex);
    message = failure ? std::nullopt : own_failure;
  }
  if (message) {
    const Failure first = board.report({rank, *message});
    const std::lock_guard lock(mutex);
    set_failure(first);
  }
}

void Monitor::State::watch_next_rank() {
  const int next = (rank + 1) % world;
  const auto now = Clock::now();
  const std::string beat = store->try_get(key("beat", next)).value_or("");
  if (beat != next_beat) {
    next_beat = beat;
    next_beat_at = now;
  }
  if (next_identity.empty()) {
    next_identity = store->try_get(key("process", next)).value_or("");
  }
  const bool ended = !next_identity.empty() && has_ended(next_identity);
  // A rank that never beat is still starting; the connect timeout covers it.
  const bool silent = !next_beat.empty() && now - next_beat_at > options.silence;
  if ((!ended && !silent) || store->try_get(key("left", next))) {
    return;
  }
  const std::string why =
      ended ? "its process has ended without leaving the run (killed or crashed)"
            : fmt::format("it has been silent for {} ms (stopped, hung or unreachable machine)",
                          options.silence.count());
  positions.refresh(*store);
  post({next, fmt::format("{}{}, noticed by rank {}", why, positions.last_place(next), rank)});
}

/// Looks whether any rank still moves.
void Monitor::State::watch_progress() {
  {
    const std::lock_guard lock(mutex);
    if (failure || leaving) return;
  }
  if (const auto hang = positions.find_hang(*store)) post(*hang);
}

void Monitor::State::post(const Failure& noticed) {
  const Failure first = board.report(noticed);
  const std::lock_guard lock(mutex);
  set_failure(first);
}

void Monitor::State::lose_store(const std::string& error) {
  const bool ended = !store_identity.empty() && has_ended(store_identity);
  const std::lock_guard lock(mutex);
  if (left || (stopping && !own_failure)) {
    return;
  }
  const std::string why =
      ended ? "its process, which holds the rendezvous store, has ended without leaving the run "
              "(killed or crashed)"
            : "the rendezvous store was lost: " + error;
  set_failure({store_rank, fmt::format("{}{}, noticed by rank {}", why,
                                       positions.last_place(store_rank), rank)});
}

/// Runs the hook without the lock: an abort may wait for the very thread that asks for the failure.
void Monitor::State::abort_until_stopped() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return stopping || (failure && hook); });
  if (!stopping) {
    aborting = true;
    const auto abort = hook;
    const std::string text = describe(*failure);
    lock.unlock();
    abort(text);
    lock.lock();
    aborting = false;
  }
  abort_ended = true;
  changed.notify_all();
}

/// The host of the store gives the others time to read the failure.
void Monitor::State::linger() {
  int failed_rank = kAllRanks;
  {
    const std::lock_guard lock(mutex);
    if (!failure) {
      return;
    }
    failed_rank = failure->rank;
  }
  store->set(key("seen", rank), "1");
  // A rank that is gone reads nothing.
  const auto identity =
      failed_rank >= 0 ? store->try_get(key("process", failed_rank)) : std::nullopt;
  const int gone = identity && has_ended(*identity) ? failed_rank : kAllRanks;
  const auto all_have_seen = [&] {
    for (int reader = 0; reader < world; ++reader) {
      if (reader != gone && !store->try_get(key("seen", reader))) return false;
    }
    return true;
  };
  const auto deadline = Clock::now() + options.grace;
  while (rank == store_rank && Clock::now() < deadline && !all_have_seen()) {
    std::this_thread::sleep_for(milliseconds{50});
  }
}

/// Only looks at the clock: the beating thread may be stuck in a store that does not answer.
void Monitor::State::alarm_until_stopped() {
  std::unique_lock lock(mutex);
  while (!stopping && !beating_ended && !failure) {
    changed.wait_for(lock, options.poll, [&] { return stopping || beating_ended || failure; });
    if (!left && Clock::now() - last_cycle > options.silence) {
      set_failure({store_rank,
                   fmt::format("its rendezvous store has not answered for {} ms "
                               "(stopped, hung or unreachable machine){}, noticed "
                               "by rank {}",
                               options.silence.count(), positions.last_place(store_rank), rank)});
    }
  }
  if (failure && options.last_resort) {
    // What a rank with an error of its own holds takes longer to take down than an operation.
    const bool is_own = failure->rank == rank && own_failure && failure->message == *own_failure;
    changed.wait_for(lock, is_own ? 6 * options.exit_grace : options.exit_grace,
                     [&] { return stopping; });
    if (!stopping) {
      const std::string text = describe(*failure);
      lock.unlock();
      options.last_resort(text);
      lock.lock();
    }
  }
  alarm_ended = true;
  changed.notify_all();
}

Monitor::Monitor(std::unique_ptr<Store> store, int rank, int world, int store_rank,
                 const MonitorOptions& options)
    : state_(std::make_shared<State>(std::move(store), rank, world, store_rank, options)) {
  state_->store->set(key("process", rank), process_identity() + state_->positions.page_address());
  std::thread([state = state_] { state->beat_until_stopped(); }).detach();
  std::thread([state = state_] { state->alarm_until_stopped(); }).detach();
  std::thread([state = state_] { state->abort_until_stopped(); }).detach();
}

Monitor::~Monitor() {
  set_abort_hook({});
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, state_->options.grace + milliseconds{1000}, [&] {
    return state_->beating_ended && state_->alarm_ended && state_->abort_ended;
  });
}

void Monitor::set_abort_hook(std::function<void(const std::string&)> hook) {
  std::unique_lock lock(state_->mutex);
  // What the running hook uses stays until it has returned; `last_resort` ends one that never does.
  state_->changed.wait_for(lock, state_->options.exit_grace, [&] { return !state_->aborting; });
  state_->hook = std::move(hook);
  state_->changed.notify_all();
}

Failure Monitor::report(const std::string& message) {
  std::unique_lock lock(state_->mutex);
  state_->own_failure = message;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, state_->options.silence,
                           [&] { return state_->failure || state_->beating_ended; });
  return state_->failure.value_or(Failure{state_->rank, message});
}

std::optional<Failure> Monitor::first_failure() const {
  const std::lock_guard lock(state_->mutex);
  return state_->failure;
}

std::optional<Failure> Monitor::wait_first_failure(milliseconds timeout) const {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait_for(lock, timeout, [&] { return state_->failure.has_value(); });
  return state_->failure;
}

void Monitor::see_positions(Store& callers_store) { state_->positions.attach(callers_store); }

void Monitor::set_operation_names(OperationNames names) {
  state_->positions.set_names(std::move(names));
}

milliseconds Monitor::notice_time() const {
  return state_->options.silence + 3 * state_->options.poll + milliseconds{500};
}

void Monitor::leave() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  state.leaving = true;
  state.changed.notify_all();
  state.changed.wait(lock, [&] { return state.all_left || state.failure || state.beating_ended; });
  if (state.failure) {
    throw CommError(
        fmt::format("[comm.leave] {} (rank {}).", describe(*state.failure), state.rank));
  }
}

std::string describe(const Failure& failure) {
  if (failure.rank == kAllRanks) return failure.message;
  return failure.rank < 0 ? "the launcher failed first: " + failure.message
                          : fmt::format("rank {} failed first: {}", failure.rank, failure.message);
}

}  // namespace zt::comm
