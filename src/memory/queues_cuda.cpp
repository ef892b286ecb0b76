#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime.h>

#include <array>
#include <vector>

#include "memory/cuda_check.h"
#include "memory/queues.h"
#include "memory/worker.h"

namespace zt::memory {
namespace {

using cuda::check;

/// An event without timing, created when it is first needed.
class Event {
 public:
  Event() = default;
  ~Event() {
    if (event_ != nullptr) (void)cudaEventDestroy(event_);
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&&) = delete;

  void record(cudaStream_t stream) {
    if (event_ == nullptr) {
      check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
    }
    check(cudaEventRecord(event_, stream), "cudaEventRecord");
  }
  void block(cudaStream_t stream) const {
    check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
  }
  void synchronize() const { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }

 private:
  cudaEvent_t event_ = nullptr;
};

constexpr int kHostQueue = 2;

class CudaQueues final : public Queues {
 public:
  explicit CudaQueues(int device_index) : device_index_(device_index) {
    const auto device = static_cast<c10::DeviceIndex>(device_index);
    // Streams of ATen's pool, so that ATen operations can run on them.
    streams_ = {c10::cuda::getStreamFromPool(false, device).stream(),
                c10::cuda::getStreamFromPool(true, device).stream(),
                c10::cuda::getStreamFromPool(false, device).stream()};
  }

  void begin(int count) override {
    progress_.wait_all(host_submitted_);
    host_submitted_ = 0;
    if (static_cast<int>(events_.size()) < count) events_.resize(static_cast<std::size_t>(count));
    queue_of_.assign(static_cast<std::size_t>(count), 0);
    progress_.begin(count);
    // Everything of this list comes after everything of the list before.
    for (std::size_t q = 0; q < streams_.size(); ++q) barrier_.at(q).record(streams_.at(q));
    for (std::size_t q = 0; q < streams_.size(); ++q) {
      for (std::size_t other = 0; other < streams_.size(); ++other) {
        if (q != other) barrier_.at(other).block(streams_.at(q));
      }
    }
  }

  void submit(int queue, int index, std::span<const int> waits, bool waited_on,
              const Work& work) override {
    const auto i = static_cast<std::size_t>(index);
    queue_of_[i] = queue;
    if (queue == kHostQueue) {
      progress_.throw_if_failed();
      ++host_submitted_;
      worker_.post([this, index, waits, &work] { run_on_worker(index, waits, work); });
      return;
    }
    const auto stream = streams_.at(static_cast<std::size_t>(queue));
    for (const int wait : waits) {
      const auto w = static_cast<std::size_t>(wait);
      if (queue_of_[w] == kHostQueue) {
        progress_.wait(wait);
      } else {
        events_[w].block(stream);
      }
    }
    // ATen operations of the compute queue run on the thread's current stream.
    if (queue == 0) {
      c10::cuda::setCurrentCUDAStream(
          c10::cuda::getStreamFromExternal(stream, static_cast<c10::DeviceIndex>(device_index_)));
    }
    work(Launch{Device::cuda, stream});
    if (waited_on) events_[i].record(stream);
  }

  void synchronize() override {
    progress_.wait_all(host_submitted_);
    for (const auto stream : streams_)
      check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  }

  [[nodiscard]] Launch compute() const override { return {Device::cuda, streams_[0]}; }

 private:
  void run_on_worker(int index, std::span<const int> waits, const Work& work) {
    try {
      check(cudaSetDevice(device_index_), "cudaSetDevice");
      for (const int wait : waits) events_[static_cast<std::size_t>(wait)].synchronize();
      const auto stream = streams_.at(kHostQueue);
      work(Launch{Device::cuda, stream});
      check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
      progress_.complete(index);
    } catch (...) {
      progress_.fail(std::current_exception());
    }
  }

  int device_index_;
  std::array<cudaStream_t, 3> streams_{};
  std::array<Event, 3> barrier_;
  std::vector<Event> events_;  ///< by operation; recorded only when another queue waits
  std::vector<int> queue_of_;  ///< by operation
  Progress progress_;          ///< of the host queue
  int host_submitted_ = 0;
  Worker worker_{"zt-host"};  // last: joined first
};

}  // namespace

std::unique_ptr<Queues> make_cuda_queues(int device_index) {
  return std::make_unique<CudaQueues>(device_index);
}

}  // namespace zt::memory
