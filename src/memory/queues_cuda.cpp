#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>
#include <cuda_runtime.h>

#include <array>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "memory/cuda_check.h"
#include "memory/queues.h"
#include "memory/worker.h"

namespace zt::memory {
namespace {

using cuda::check;

/// An event, created when it is first needed. kTimed: with a time, and usable inside of a capture
/// for reading outside of it.
template <bool kTimed>
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

  void record(cudaStream_t stream, bool capturing = false) {
    if (event_ == nullptr) {
      check(cudaEventCreateWithFlags(&event_, kTimed ? cudaEventDefault : cudaEventDisableTiming),
            "cudaEventCreate");
    }
    const unsigned flags = kTimed && capturing ? cudaEventRecordExternal : cudaEventRecordDefault;
    check(cudaEventRecordWithFlags(event_, stream, flags), "cudaEventRecord");
  }
  void block(cudaStream_t stream) const {
    check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
  }
  void synchronize() const { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }
  [[nodiscard]] double seconds_since(const Event& before) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, before.event_, event_), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

constexpr int kCommQueue = 1;
constexpr int kHostQueue = 2;
constexpr int kUnused = -1;

/// Memory that ATen hands out inside of captures. ATen forgets a pool with its last graph, so the
/// graphs own it together.
using Pool = std::shared_ptr<const at::cuda::MempoolId_t>;

class CudaGraph final : public Graph {
 public:
  Pool pool;
  at::cuda::CUDAGraph graph;
  cudaGraphExec_t launchable = nullptr;  ///< owned by graph
  std::vector<int> queue_of;             ///< by operation
  bool measured = false;
};

/// Begin and end of one operation.
struct Span {
  Event<true> begin, end;
};

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
    prepare(count);
    if (capturing_) {
      if (measured_) list_began_.record(streams_[0], true);
      barrier_[0].record(streams_[0]);
      barrier_[0].block(streams_[kCommQueue]);
      return;
    }
    // Everything of this list comes after everything of the list before.
    for (std::size_t q = 0; q < streams_.size(); ++q) barrier_.at(q).record(streams_.at(q));
    for (std::size_t q = 0; q < streams_.size(); ++q) {
      for (std::size_t other = 0; other < streams_.size(); ++other) {
        if (q != other) barrier_.at(other).block(streams_.at(q));
      }
    }
    if (measured_) list_began_.record(streams_[0]);
  }

  void submit(int queue, int index, std::span<const int> waits, bool waited_on,
              const Work& work) override {
    const auto i = static_cast<std::size_t>(index);
    queue_of_[i] = queue;
    if (queue == kHostQueue) {
      ZT_ASSERT(!capturing_, "work of the host is not captured");
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
    if (queue == 0) make_current();
    if (measured_) spans_[i].begin.record(stream, capturing_);
    work(Launch{Device::cuda, stream});
    if (measured_) spans_[i].end.record(stream, capturing_);
    if (waited_on) events_[i].record(stream);
  }

  void synchronize() override {
    progress_.wait_all(host_submitted_);
    for (const auto stream : streams_)
      check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  }

  [[nodiscard]] Launch compute() const override { return {Device::cuda, streams_[0]}; }

  [[nodiscard]] bool can_capture() const override { return true; }

  std::unique_ptr<Graph> capture(int /*count*/, const std::function<void()>& issue) override {
    synchronize();
    make_current();
    auto result = std::make_unique<CudaGraph>();
    try {
      result->pool = pool_.lock();
      if (!result->pool) {
        result->pool = std::make_shared<const at::cuda::MempoolId_t>(at::cuda::graph_pool_handle());
        pool_ = result->pool;
      }
      result->graph.capture_begin(*result->pool, cudaStreamCaptureModeThreadLocal);
      capturing_ = true;
      issue();
      barrier_[kCommQueue].record(streams_[kCommQueue]);
      barrier_[kCommQueue].block(streams_[0]);
      capturing_ = false;
      result->graph.capture_end();
    } catch (const c10::Error& error) {
      abandon(*result);
      throw DeviceError(std::string("[memory.queues] capture failed: ") +
                        error.what_without_backtrace());
    } catch (...) {
      abandon(*result);
      throw;
    }
    result->launchable = result->graph.raw_cuda_graph_exec();
    result->queue_of = queue_of_;
    result->measured = measured_;
    return result;
  }

  void replay(const Graph& graph) override {
    const auto& captured = static_cast<const CudaGraph&>(graph);
    progress_.wait_all(host_submitted_);
    host_submitted_ = 0;
    for (const std::size_t q : {std::size_t{kCommQueue}, std::size_t{kHostQueue}}) {
      barrier_.at(q).record(streams_.at(q));
      barrier_.at(q).block(streams_[0]);
    }
    make_current();
    queue_of_ = captured.queue_of;
    list_measured_ = captured.measured;
    // ATen's own replay would also advance its random generator, which nothing here draws from.
    check(cudaGraphLaunch(captured.launchable, streams_[0]), "cudaGraphLaunch");
  }

  void measure(bool on) override {
    synchronize();
    measured_ = on;
  }

  std::vector<OperationTime> times() override {
    synchronize();
    std::vector<OperationTime> result;
    if (!list_measured_) return result;
    const std::lock_guard lock(host_mutex_);
    for (std::size_t i = 0; i < queue_of_.size(); ++i) {
      if (queue_of_[i] == kUnused) continue;
      result.push_back({static_cast<int>(i), queue_of_[i],
                        spans_[i].begin.seconds_since(list_began_),
                        spans_[i].end.seconds_since(list_began_)});
    }
    return result;
  }

 private:
  void make_current() const {
    c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromExternal(
        streams_[0], static_cast<c10::DeviceIndex>(device_index_)));
  }

  void prepare(int count) {
    progress_.wait_all(host_submitted_);
    host_submitted_ = 0;
    const auto size = static_cast<std::size_t>(count);
    if (events_.size() < size) events_.resize(size);
    if (measured_ && spans_.size() < size) spans_.resize(size);
    queue_of_.assign(size, kUnused);
    list_measured_ = measured_;
    progress_.begin(count);
  }

  /// Ends a capture that cannot be used. ATen leaves its generator in the state of a capture then;
  /// a fresh one with the same seed takes its place.
  void abandon(CudaGraph& graph) {
    if (std::exchange(capturing_, false)) {
      try {
        graph.graph.capture_end();
      } catch (const c10::Error&) {  // the first error is the one that is reported
      }
    }
    (void)cudaGetLastError();
    const auto index = static_cast<c10::DeviceIndex>(device_index_);
    auto generator = at::cuda::detail::getDefaultCUDAGenerator(index);
    auto fresh = at::cuda::detail::createCUDAGenerator(index);
    fresh.set_current_seed(generator.current_seed());
    generator.graphsafe_set_state(fresh);
  }

  void run_on_worker(int index, std::span<const int> waits, const Work& work) {
    try {
      check(cudaSetDevice(device_index_), "cudaSetDevice");
      for (const int wait : waits) events_[static_cast<std::size_t>(wait)].synchronize();
      const auto stream = streams_.at(kHostQueue);
      record_host(index, true);
      work(Launch{Device::cuda, stream});
      record_host(index, false);
      check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
      progress_.complete(index);
    } catch (...) {
      progress_.fail(std::current_exception());
    }
  }

  void record_host(int index, bool begin) {
    if (!measured_) return;
    const std::lock_guard lock(host_mutex_);
    auto& span = spans_[static_cast<std::size_t>(index)];
    (begin ? span.begin : span.end).record(streams_.at(kHostQueue));
  }

  int device_index_;
  std::array<cudaStream_t, 3> streams_{};
  std::array<Event<false>, 3> barrier_;
  std::vector<Event<false>> events_;  ///< by operation; recorded only when another queue waits
  std::vector<int> queue_of_;         ///< by operation of the last list
  bool capturing_ = false;
  std::weak_ptr<const at::cuda::MempoolId_t> pool_;  ///< of the graphs that live
  bool measured_ = false;                            ///< lists from now on
  bool list_measured_ = false;                       ///< the last list
  Event<true> list_began_;
  std::vector<Span> spans_;  ///< by operation
  std::mutex host_mutex_;    ///< guards spans of the host queue
  Progress progress_;        ///< of the host queue
  int host_submitted_ = 0;
  Worker worker_{"zt-host"};  // last: joined first
};

}  // namespace

std::unique_ptr<Queues> make_cuda_queues(int device_index) {
  return std::make_unique<CudaQueues>(device_index);
}

}  // namespace zt::memory
