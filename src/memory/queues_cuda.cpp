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
    if (event_ == nullptr) return;  // never recorded: nothing to wait for
    check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
  }
  void synchronize() const {
    if (event_ != nullptr) check(cudaEventSynchronize(event_), "cudaEventSynchronize");
  }
  [[nodiscard]] double seconds_since(const Event& before) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, before.event_, event_), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

constexpr int kComputeQueue = 0, kCommQueue = 1, kHostQueue = 2, kDownloadQueue = 3,
              kUploadQueue = 4;
constexpr int kNumQueues = 5;  ///< with a stream; the disk's two come behind them
constexpr int kUnused = -1;

/// Queues whose operations a thread of their own issues.
bool has_thread(int queue) { return queue == kHostQueue || queue >= kUploadQueue; }
/// Queues whose operations are complete when the thread has done them.
bool on_host(int queue) { return queue == kHostQueue || queue >= kNumQueues; }

/// One list of operations under way.
struct List {
  std::vector<Event<false>> events;            ///< by operation; recorded when another queue waits
  std::vector<int> queue_of;                   ///< by operation
  std::array<Event<false>, kNumQueues> began;  ///< where the streams stood that it comes after
  Progress progress;                           ///< of the operations that threads issue
  int posted = 0;                              ///< to those threads
};

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

/// When the operations of the last list began and ended, where that is measured.
class Spans {
 public:
  /// From the next list on.
  void measure(bool on) { on_ = on; }
  [[nodiscard]] bool on() const { return on_; }

  void prepare(std::size_t num_operations) {
    if (on_ && spans_.size() < num_operations) spans_.resize(num_operations);
    list_measured_ = on_;
  }
  /// A captured list runs again.
  void replay(bool measured) { list_measured_ = measured; }

  void record_list(cudaStream_t stream, bool capturing) {
    if (on_) list_began_.record(stream, capturing);
  }
  void record(int index, cudaStream_t stream, bool begin, bool capturing = false) {
    if (!on_) return;
    const std::lock_guard lock(mutex_);
    auto& span = spans_[static_cast<std::size_t>(index)];
    (begin ? span.begin : span.end).record(stream, capturing);
  }

  /// `queue_of`: by operation. Every operation is complete.
  [[nodiscard]] std::vector<OperationTime> times(const std::vector<int>& queue_of) {
    std::vector<OperationTime> result;
    if (!list_measured_) return result;
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < queue_of.size(); ++i) {
      if (queue_of[i] == kUnused) continue;
      result.push_back({static_cast<int>(i), queue_of[i],
                        spans_[i].begin.seconds_since(list_began_),
                        spans_[i].end.seconds_since(list_began_)});
    }
    return result;
  }

 private:
  bool on_ = false;             ///< lists from now on
  bool list_measured_ = false;  ///< the last list
  Event<true> list_began_;
  std::mutex mutex_;
  std::vector<Span> spans_;  ///< by operation; threads record theirs
};

class CudaQueues final : public Queues {
 public:
  explicit CudaQueues(int device_index) : device_index_(device_index) {
    const auto device = static_cast<c10::DeviceIndex>(device_index);
    // Streams of ATen's pool, so that ATen operations can run on them.
    for (int q = 0; q < kNumQueues; ++q) {
      streams_.at(static_cast<std::size_t>(q)) =
          c10::cuda::getStreamFromPool(q == kCommQueue, device).stream();
    }
  }

  void begin(int count, bool overlap) override {
    if (!overlap || capturing_) wait_for_threads(current());
    wait_for_threads(before());
    ++number_;
    prepare(count);
    auto& began = current().began;
    if (capturing_) {
      spans_.record_list(streams_[0], true);
      began[kComputeQueue].record(streams_[kComputeQueue]);
      began[kComputeQueue].block(streams_[kCommQueue]);
      return;
    }
    // What went to the host in the list before may still be on its way; in the one before that not.
    tail(1).record(streams_[kDownloadQueue]);
    for (std::size_t q = 0; q < kNumQueues; ++q) {
      const bool goes_on = overlap && (q == kDownloadQueue || q == kHostQueue);
      if (!goes_on) began.at(q).record(streams_.at(q));
      for (std::size_t other = 0; other < kNumQueues; ++other) {
        if (q != other && !goes_on) began.at(q).block(streams_.at(other));
      }
    }
    for (const auto stream : streams_) tail(2).block(stream);
    spans_.record_list(streams_[0], false);
  }

  void submit(int queue, int index, const After& after, bool waited_on, const Work& work) override {
    const auto i = static_cast<std::size_t>(index);
    auto& list = current();
    list.queue_of[i] = queue;
    if (has_thread(queue)) {
      ZT_ASSERT(!capturing_, "work of the host is not captured");
      list.progress.throw_if_failed();
      ++list.posted;
      worker(queue).post([this, queue, index, after, waited_on, &work, &list, &earlier = before(),
                          &older_tail = tail(2)] {
        run_on_thread(queue, index, after, waited_on, work, list, earlier, older_tail);
      });
      return;
    }
    const auto stream = streams_.at(static_cast<std::size_t>(queue));
    for (const int wait : after.waits) wait_on_stream(list, wait, stream);
    for (const int wait : after.carried) wait_on_stream(before(), wait, stream);
    // ATen operations of the compute queue run on the thread's current stream.
    if (queue == kComputeQueue) make_current();
    spans_.record(index, stream, true, capturing_);
    work(Launch{Device::cuda, stream});
    spans_.record(index, stream, false, capturing_);
    if (waited_on) list.events[i].record(stream);
  }

  void synchronize() override {
    for (auto& list : lists_) wait_for_threads(list);
    for (const auto stream : streams_)
      check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  }

  void synchronize_device() override {
    current().progress.throw_if_failed();
    for (const int q : {kComputeQueue, kCommQueue}) {
      check(cudaStreamSynchronize(streams_.at(static_cast<std::size_t>(q))),
            "cudaStreamSynchronize");
    }
  }

  void synchronize_host() override {
    for (auto& list : lists_) wait_for_threads(list);
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
      auto& joined = current().began[kCommQueue];
      joined.record(streams_[kCommQueue]);
      joined.block(streams_[0]);
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
    result->queue_of = current().queue_of;
    result->measured = spans_.on();
    return result;
  }

  void replay(const Graph& graph) override {
    const auto& captured = static_cast<const CudaGraph&>(graph);
    for (auto& list : lists_) wait_for_threads(list);
    for (std::size_t q = kCommQueue; q < kNumQueues; ++q) {
      current().began.at(q).record(streams_.at(q));
      current().began.at(q).block(streams_[0]);
    }
    make_current();
    current().queue_of = captured.queue_of;
    spans_.replay(captured.measured);
    // ATen's own replay would also advance its random generator, which nothing here draws from.
    check(cudaGraphLaunch(captured.launchable, streams_[0]), "cudaGraphLaunch");
  }

  void measure(bool on) override {
    synchronize();
    spans_.measure(on);
  }

  std::vector<OperationTime> times() override {
    synchronize();
    return spans_.times(current().queue_of);
  }

 private:
  void make_current() const {
    c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromExternal(
        streams_[0], static_cast<c10::DeviceIndex>(device_index_)));
  }

  [[nodiscard]] List& current() { return lists_[number_ % lists_.size()]; }
  [[nodiscard]] List& before() { return lists_[(number_ + lists_.size() - 1) % lists_.size()]; }
  /// The end of the download stream's part of the list `ago` lists before the current one.
  [[nodiscard]] Event<false>& tail(std::size_t ago) {
    return tails_[(number_ + tails_.size() - ago) % tails_.size()];
  }

  [[nodiscard]] Worker& worker(int queue) {
    constexpr std::array kNames{"zt-compute", "zt-comm", "zt-host", "zt-download",
                                "zt-upload",  "zt-read", "zt-write"};
    auto& found = workers_.at(static_cast<std::size_t>(queue));
    if (!found) found = std::make_unique<Worker>(kNames.at(static_cast<std::size_t>(queue)));
    return *found;
  }

  static void wait_for_threads(List& list) { list.progress.wait_all(list.posted); }

  void prepare(int count) {
    auto& list = current();
    list.posted = 0;
    const auto size = static_cast<std::size_t>(count);
    if (list.events.size() < size) list.events.resize(size);
    spans_.prepare(size);
    list.queue_of.assign(size, kUnused);
    list.progress.begin(count);
  }

  static void wait_on_stream(List& list, int wait, cudaStream_t stream) {
    const auto w = static_cast<std::size_t>(wait);
    if (has_thread(list.queue_of[w])) list.progress.wait(wait);
    if (!on_host(list.queue_of[w])) list.events[w].block(stream);
  }

  static void wait_on_host(List& list, int wait) {
    const auto w = static_cast<std::size_t>(wait);
    if (has_thread(list.queue_of[w])) list.progress.wait(wait);
    if (!on_host(list.queue_of[w])) list.events[w].synchronize();
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

  void run_on_thread(int queue, int index, const After& after, bool waited_on, const Work& work,
                     List& list, List& earlier, Event<false>& older_tail) {
    try {
      check(cudaSetDevice(device_index_), "cudaSetDevice");
      const auto stream =
          streams_.at(static_cast<std::size_t>(on_host(queue) ? kHostQueue : queue));
      if (on_host(queue)) {
        for (const auto& event : list.began) event.synchronize();
        older_tail.synchronize();
        for (const int wait : after.waits) wait_on_host(list, wait);
        for (const int wait : after.carried) wait_on_host(earlier, wait);
      } else {
        for (const int wait : after.waits) wait_on_stream(list, wait, stream);
        for (const int wait : after.carried) wait_on_stream(earlier, wait, stream);
      }
      // The host's own stream is idle: an event on it tells when it was recorded.
      spans_.record(index, stream, true);
      work(on_host(queue) ? Launch{} : Launch{Device::cuda, stream});
      spans_.record(index, stream, false);
      if (waited_on && !on_host(queue)) {
        list.events[static_cast<std::size_t>(index)].record(stream);
      }
      list.progress.complete(index);
    } catch (...) {
      for (auto& each : lists_) each.progress.fail(std::current_exception());
    }
  }

  int device_index_;
  std::array<cudaStream_t, kNumQueues> streams_{};
  /// The one that is submitted, the one before, and one whose operations are all done but may still
  /// be asked for by those of the list before.
  std::array<List, 3> lists_;
  std::array<Event<false>, 3> tails_;
  std::size_t number_ = 0;  ///< of the list that is submitted
  bool capturing_ = false;
  std::weak_ptr<const at::cuda::MempoolId_t> pool_;  ///< of the graphs that live
  Spans spans_;
  std::array<std::unique_ptr<Worker>, 7> workers_;  // last: joined first
};

}  // namespace

std::unique_ptr<Queues> make_cuda_queues(int device_index) {
  return std::make_unique<CudaQueues>(device_index);
}

}  // namespace zt::memory
