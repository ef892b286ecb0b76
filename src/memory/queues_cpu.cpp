#include "memory/queues.h"

#include <algorithm>
#include <array>
#include <chrono>
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
  void begin(int count) override {
    synchronize();
    progress_.begin(count);
    submitted_ = 0;
    times_.clear();
    began_ = now_seconds();
  }

  void submit(int queue, int index, std::span<const int> waits, bool /*waited_on*/,
              const Work& work) override {
    ++submitted_;
    if (queue == 0) {
      for (const int wait : waits) progress_.wait(wait);
      run(queue, index, work);
      progress_.complete(index);
      return;
    }
    progress_.throw_if_failed();
    workers_.at(static_cast<std::size_t>(queue - 1)).post([this, queue, index, waits, &work] {
      run_on_worker(queue, index, waits, work);
    });
  }

  void synchronize() override { progress_.wait_all(submitted_); }

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
  void run(int queue, int index, const Work& work) {
    if (!measured_) return work(Launch{});
    const double begin = now_seconds();
    work(Launch{});
    const double end = now_seconds();
    const std::lock_guard lock(mutex_);
    times_.push_back({index, queue, begin - began_, end - began_});
  }

  void run_on_worker(int queue, int index, std::span<const int> waits, const Work& work) {
    try {
      for (const int wait : waits) progress_.wait(wait);
      run(queue, index, work);
      progress_.complete(index);
    } catch (...) {
      progress_.fail(std::current_exception());
    }
  }

  Progress progress_;
  int submitted_ = 0;
  bool measured_ = false;
  double began_ = 0;
  std::mutex mutex_;
  std::vector<OperationTime> times_;                                     ///< guarded by mutex_
  std::array<Worker, 2> workers_{Worker("zt-comm"), Worker("zt-host")};  // last: joined first
};

}  // namespace

std::unique_ptr<Queues> make_cpu_queues() { return std::make_unique<CpuQueues>(); }

}  // namespace zt::memory
