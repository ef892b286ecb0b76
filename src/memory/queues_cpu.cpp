#include "memory/queues.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "memory/worker.h"

namespace zt::memory {

std::unique_ptr<Graph> Queues::capture(int, const std::function<void()>&) {
  throw DeviceError("[memory.queues] lists are captured on CUDA only.");
}

void Queues::replay(const Graph&) {
  throw DeviceError("[memory.queues] lists are captured on CUDA only.");
}

namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class CpuQueues final : public Queues {
 public:
  void begin(int count, bool overlap) override {
    if (overlap) {
      wait_all(before());
      wait_for_comm(current());
    } else {
      synchronize();
    }
    ++number_;
    current().progress.begin(count);
    current().submitted = 0;
    current().last_comm = kNone;
    const std::lock_guard lock(mutex_);
    times_.clear();
    began_ = now_seconds();
  }

  void submit(int queue, int index, const After& after, bool /*waited_on*/,
              const Work& work) override {
    ++current().submitted;
    if (queue == kCompute) {
      try {
        wait_for(after, current(), before());
        run(queue, index, work);
      } catch (...) {
        fail(std::current_exception());  // it will never be complete: nobody may wait for it
        throw;
      }
      current().progress.complete(index);
      return;
    }
    if (queue == kComm) current().last_comm = index;
    current().progress.throw_if_failed();
    auto& worker = workers_.at(static_cast<std::size_t>(queue - 1));
    if (!worker) worker = std::make_unique<Worker>(kNames.at(static_cast<std::size_t>(queue - 1)));
    worker->post([this, queue, index, after, &work, &mine = current(), &earlier = before()] {
      try {
        wait_for(after, mine, earlier);
        run(queue, index, work);
        mine.progress.complete(index);
      } catch (...) {
        fail(std::current_exception());
      }
    });
  }

  void synchronize() override {
    for (auto& list : lists_) wait_all(list);
  }

  void synchronize_device() override { wait_for_comm(current()); }

  void synchronize_host() override { synchronize(); }

  [[nodiscard]] Launch compute() const override { return {}; }

  void measure(bool on) override {
    synchronize();
    measured_ = on;
  }

  std::vector<OperationTime> times() override {
    synchronize();
    const std::lock_guard lock(mutex_);
    std::sort(times_.begin(), times_.end(),
              [](const auto& a, const auto& b) { return a.index < b.index; });
    return times_;
  }

 private:
  static constexpr int kCompute = 0, kComm = 1, kNone = -1;

  struct List {
    Progress progress;
    int submitted = 0;
    int last_comm = kNone;
  };

  [[nodiscard]] List& current() { return lists_.at(number_ % lists_.size()); }
  [[nodiscard]] List& before() { return lists_.at((number_ + lists_.size() - 1) % lists_.size()); }

  void fail(const std::exception_ptr& error) {
    for (auto& list : lists_) list.progress.fail(error);
  }

  static void wait_all(List& list) { list.progress.wait_all(list.submitted); }

  static void wait_for_comm(List& list) {
    list.progress.throw_if_failed();
    if (list.last_comm != kNone) list.progress.wait(list.last_comm);
  }

  static void wait_for(const After& after, List& mine, List& earlier) {
    for (const int wait : after.waits) mine.progress.wait(wait);
    for (const int wait : after.carried) earlier.progress.wait(wait);
  }

  void run(int queue, int index, const Work& work) {
    if (!measured_) return work(Launch{});
    const double begin = now_seconds();
    work(Launch{});
    const double end = now_seconds();
    const std::lock_guard lock(mutex_);
    times_.push_back({index, queue, begin - began_, end - began_});
  }

  /// The one that is submitted, the one before, and one whose operations are all done but may still
  /// be asked for by those of the list before.
  std::array<List, 3> lists_;
  std::size_t number_ = 0;  ///< of the list that is submitted
  bool measured_ = false;
  double began_ = 0;
  std::mutex mutex_;
  std::vector<OperationTime> times_;  ///< guarded by mutex_
  static constexpr std::array<const char*, 6> kNames{"zt-comm",   "zt-host", "zt-download",
                                                     "zt-upload", "zt-read", "zt-write"};
  std::array<std::unique_ptr<Worker>, kNames.size()> workers_;  // last: joined first
};

}  // namespace

std::unique_ptr<Queues> make_cpu_queues() { return std::make_unique<CpuQueues>(); }

}  // namespace zt::memory
