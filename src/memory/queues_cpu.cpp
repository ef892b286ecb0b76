#include <array>
#include <vector>

#include "memory/queues.h"
#include "memory/worker.h"

namespace zt::memory {
namespace {

class CpuQueues final : public Queues {
 public:
  void begin(int count) override {
    synchronize();
    progress_.begin(count);
    submitted_ = 0;
  }

  void submit(int queue, int index, std::span<const int> waits, bool /*waited_on*/,
              const Work& work) override {
    ++submitted_;
    if (queue == 0) {
      for (const int wait : waits) progress_.wait(wait);
      work(Launch{});
      progress_.complete(index);
      return;
    }
    progress_.throw_if_failed();
    workers_.at(static_cast<std::size_t>(queue - 1)).post([this, index, waits, &work] {
      run_on_worker(index, waits, work);
    });
  }

  void synchronize() override { progress_.wait_all(submitted_); }

  [[nodiscard]] Launch compute() const override { return {}; }

 private:
  void run_on_worker(int index, std::span<const int> waits, const Work& work) {
    try {
      for (const int wait : waits) progress_.wait(wait);
      work(Launch{});
      progress_.complete(index);
    } catch (...) {
      progress_.fail(std::current_exception());
    }
  }

  Progress progress_;
  int submitted_ = 0;
  std::array<Worker, 2> workers_{Worker("zt-comm"), Worker("zt-host")};  // last: joined first
};

}  // namespace

std::unique_ptr<Queues> make_cpu_queues() { return std::make_unique<CpuQueues>(); }

}  // namespace zt::memory
