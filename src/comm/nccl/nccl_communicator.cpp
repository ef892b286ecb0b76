#include "comm/nccl/nccl_communicator.h"

#include <fmt/format.h>
#include <nccl.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "comm/checks.h"
#include "comm/nccl/cuda_handles.h"
#include "comm/nccl/nccl_connect.h"
#include "comm/nccl/peer_copies.h"

namespace zt::comm {
namespace {

using std::chrono::milliseconds;

ncclDataType_t nccl_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f16:
      return ncclFloat16;
    case DType::i64:
      return ncclInt64;
    case DType::i32:
      return ncclInt32;
    case DType::u8:
      return ncclUint8;
  }
  return ncclUint8;
}

std::size_t count_bytes(const View& view) { return static_cast<std::size_t>(view.bytes().value); }

cudaStream_t stream_of(const Launch& launch) {
  ZT_ASSERT(launch.device == Device::cuda, "NCCL moves CUDA buffers");
  return static_cast<cudaStream_t>(launch.stream);
}

/// What barriers and other exchanges of the host run on.
struct HostExchange {
  StreamHandle stream = new_stream();
  DeviceMemory word = new_device_memory(sizeof(std::int32_t));
  HostExchange() { check_cuda(cudaMemset(word.get(), 0, sizeof(std::int32_t)), "cudaMemset"); }
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(ncclComm_t comm, const NcclOptions& options)
      : comm_(comm), rank_(options.rank), world_(options.world), device_(options.device_index) {}

  ~NcclCommunicator() override {
    const std::lock_guard lock(mutex_);
    if (comm_ != nullptr) {
      ncclCommDestroy(comm_);
    }
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int world() const override { return world_; }
  [[nodiscard]] Device device() const override { return Device::cuda; }

  void all_gather(const View& send, const View& recv, const Launch& launch) override {
    check_all_gather(*this, send, recv);
    if (copies_ && copies_->takes(recv)) {
      if (aborted_) fail_aborted("all_gather");
      return copies_->all_gather(send, recv, stream_of(launch));
    }
    queue("all_gather", [&](ncclComm_t comm) {
      return ncclAllGather(send.data, recv.data, count_bytes(send), ncclUint8, comm,
                           stream_of(launch));
    });
  }

  void all_to_all(const View& send, const View& recv, const Launch& launch) override {
    check_all_to_all(*this, send, recv);
    if (copies_ && copies_->takes(recv)) {
      if (aborted_) fail_aborted("all_to_all");
      return copies_->all_to_all(send, recv, stream_of(launch));
    }
    queue("all_to_all",
          [&](ncclComm_t comm) { return exchange(send, recv, comm, stream_of(launch)); });
  }

  void reduce_scatter_sum(const View& send, const View& recv, const Launch& launch) override {
    check_reduce_scatter(*this, send, recv);
    queue("reduce_scatter_sum", [&](ncclComm_t comm) {
      return ncclReduceScatter(send.data, recv.data, static_cast<std::size_t>(recv.numel),
                               nccl_type(recv.dtype), ncclSum, comm, stream_of(launch));
    });
  }

  void broadcast(const View& data, int root, const Launch& launch) override {
    check_root(*this, root);
    queue("broadcast", [&](ncclComm_t comm) {
      return ncclBroadcast(data.data, data.data, count_bytes(data), ncclUint8, root, comm,
                           stream_of(launch));
    });
  }

  void barrier() override {
    queue("barrier", [&](ncclComm_t comm) {
      return ncclAllReduce(host_exchange_.word.get(), host_exchange_.word.get(), 1, ncclInt32,
                           ncclSum, comm, host_exchange_.stream.get());
    });
    wait_for_host_exchange();
  }

  bool share_memory(const View& memory) override {
    if (world_ == 1 || memory.numel == 0) return false;
    auto copies =
        PeerCopies::connect(memory, rank_, world_, [this](const void* mine, std::size_t num_bytes) {
          return exchange_bytes(mine, num_bytes);
        });
    const std::lock_guard lock(reason_mutex_);
    copies_ = std::move(copies);
    return copies_ != nullptr;
  }

  void unshare_memory() override {
    if (!copies_) return;
    if (!aborted_) barrier();  // every rank's copies are done
    std::unique_ptr<PeerCopies> gone;
    {
      const std::lock_guard lock(reason_mutex_);
      gone = std::move(copies_);
    }
    gone.reset();
    if (!aborted_) barrier();  // no rank maps this one's memory
  }

  void check() override {
    if (aborted_) {
      fail_aborted("check");
    }
    // A call in progress holds the lock and reports its own error.
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock() || comm_ == nullptr) {
      return;
    }
    ncclResult_t state = ncclSuccess;
    ncclCommGetAsyncError(comm_, &state);
    if (state != ncclSuccess && state != ncclInProgress) {
      fail("check", state);
    }
  }

  void abort(const std::string& reason) override {
    {
      const std::lock_guard lock(reason_mutex_);
      if (aborted_) {
        return;
      }
      abort_reason_ = reason;
      aborted_ = true;
      (void)cudaSetDevice(device_);  // the thread may be one that never used the GPU
      if (copies_) copies_->release();
    }
    // Normally no call is in progress, only kernels. A call that is stuck keeps the lock: aborting
    // beside it is what makes it return.
    const std::unique_lock lock(mutex_, milliseconds{2000});
    ncclComm_t comm = comm_;
    comm_ = nullptr;
    if (comm != nullptr) {
      ncclCommAbort(comm);
    }
  }

 private:
  ncclResult_t exchange(const View& send, const View& recv, ncclComm_t comm, cudaStream_t stream) {
    const std::int64_t part = send.numel / world_;
    // The own part needs no link, and as a copy none of NCCL's channels.
    const View own = send.slice(rank_ * part, part), kept = recv.slice(rank_ * part, part);
    check_cuda(
        cudaMemcpyAsync(kept.data, own.data, count_bytes(own), cudaMemcpyDeviceToDevice, stream),
        "cudaMemcpyAsync");
    ncclResult_t result = ncclGroupStart();
    for (int peer = 0; peer < world_ && result == ncclSuccess; ++peer) {
      if (peer == rank_) continue;
      const View out = send.slice(peer * part, part), in = recv.slice(peer * part, part);
      result = ncclSend(out.data, count_bytes(out), ncclUint8, peer, comm, stream);
      if (result == ncclSuccess) {
        result = ncclRecv(in.data, count_bytes(in), ncclUint8, peer, comm, stream);
      }
    }
    const ncclResult_t ended = ncclGroupEnd();
    return result == ncclSuccess ? ended : result;
  }

  /// Blocks the host, but leaves when the communicator fails.
  void wait_for_host_exchange() {
    for (cudaError_t state = cudaErrorNotReady; state != cudaSuccess;) {
      state = cudaStreamQuery(host_exchange_.stream.get());
      if (state == cudaErrorNotReady) {
        check();
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      } else {
        check_cuda(state, "cudaStreamQuery");
      }
    }
    check();
  }

  /// Every rank's bytes, in rank order.
  std::vector<std::byte> exchange_bytes(const void* mine, std::size_t num_bytes) {
    const auto all = static_cast<std::size_t>(world_) * num_bytes;
    const auto memory = new_device_memory(all);
    auto* own = static_cast<std::byte*>(memory.get()) + static_cast<std::size_t>(rank_) * num_bytes;
    check_cuda(cudaMemcpy(own, mine, num_bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
    queue("share_memory", [&](ncclComm_t comm) {
      return ncclAllGather(own, memory.get(), num_bytes, ncclUint8, comm,
                           host_exchange_.stream.get());
    });
    wait_for_host_exchange();
    std::vector<std::byte> result(all);
    check_cuda(cudaMemcpy(result.data(), memory.get(), all, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return result;
  }

  template <typename Call>
  void queue(const char* operation, const Call& call) {
    if (aborted_) {
      fail_aborted(operation);
    }
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) {
      fail_aborted(operation);
    }
    const ncclResult_t result = call(comm_);
    if (aborted_) {
      fail_aborted(operation);
    }
    if (result != ncclSuccess) {
      fail(operation, result);
    }
  }

  [[noreturn]] void fail(const char* operation, ncclResult_t result) {
    throw CommError(
        fmt::format("[comm.{}] NCCL failed: {} ({}) (rank {}). NCCL_DEBUG=INFO shows "
                    "what led to it.",
                    operation, ncclGetErrorString(result), ncclGetLastError(comm_), rank_));
  }

  [[noreturn]] void fail_aborted(const char* operation) {
    const std::lock_guard lock(reason_mutex_);
    throw CommError(
        fmt::format("[comm.{}] aborted: {} (rank {}).", operation, abort_reason_, rank_));
  }

  std::timed_mutex mutex_;
  ncclComm_t comm_;  // guarded by mutex_; null after an abort
  const int rank_;
  const int world_;
  const int device_;
  std::atomic<bool> aborted_{false};
  std::mutex reason_mutex_;
  std::string abort_reason_;  // guarded by reason_mutex_
  /// Set and taken under reason_mutex_ by the thread that also uses it; abort looks at it.
  std::unique_ptr<PeerCopies> copies_;
  HostExchange host_exchange_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl(Store& store, const NcclOptions& options) {
  check_cuda(cudaSetDevice(options.device_index), "cudaSetDevice");
  auto communicator = std::make_unique<NcclCommunicator>(connect_nccl(store, options), options);
  communicator->barrier();
  return communicator;
}

}  // namespace zt::comm
