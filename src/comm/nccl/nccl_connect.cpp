#include "comm/nccl/nccl_connect.h"

#include <fmt/format.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "comm/nccl/cuda_handles.h"

namespace zt::comm {
namespace {

using std::chrono::milliseconds;

[[noreturn]] void fail(const NcclOptions& options, const std::string& reason) {
  throw CommError(
      fmt::format("[comm.connect] NCCL ranks cannot be connected: {} (rank {}, GPU {}). "
                  "NCCL_DEBUG=INFO shows how far it came.",
                  reason, options.rank, options.device_index));
}

ncclUniqueId share_id(Store& store, const NcclOptions& options) {
  constexpr const char* kKey = "nccl/id";
  ncclUniqueId id{};
  if (options.rank == 0) {
    const ncclResult_t result = ncclGetUniqueId(&id);
    if (result != ncclSuccess) {
      fail(options, ncclGetErrorString(result));
    }
    store.set(kKey, std::string(id.internal, sizeof(id.internal)));
    return id;
  }
  const auto deadline = std::chrono::steady_clock::now() + options.connect_timeout;
  while (true) {
    if (const auto text = store.try_get(kKey)) {
      ZT_ASSERT(text->size() == sizeof(id.internal), "not a unique id of NCCL");
      std::memcpy(id.internal, text->data(), sizeof(id.internal));
      return id;
    }
    const std::string reason = options.give_up ? options.give_up() : std::string();
    if (!reason.empty()) {
      fail(options, reason);
    }
    if (std::chrono::steady_clock::now() > deadline) {
      fail(options, "rank 0 shared no id in time");
    }
    std::this_thread::sleep_for(milliseconds{20});
  }
}

/// What the connecting thread hands over.
struct Connecting {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;                  // guarded by mutex
  ncclComm_t comm = nullptr;          // guarded by mutex
  ncclResult_t result = ncclSuccess;  // guarded by mutex
};

}  // namespace

// NCCL's own non-blocking mode would launch every later operation from a thread of NCCL's, which a
// graph capture does not see. So the communicator is a blocking one, created on a thread that is
// left behind when a peer does not come.
ncclComm_t connect_nccl(Store& store, const NcclOptions& options) {
  const ncclUniqueId id = share_id(store, options);
  auto shared = std::make_shared<Connecting>();  // the second owner is the thread
  std::thread([shared, id, rank = options.rank, world = options.world,
               device = options.device_index] {
    cudaSetDevice(device);
    ncclComm_t comm = nullptr;
    const ncclResult_t result = ncclCommInitRank(&comm, world, id, rank);
    const std::lock_guard lock(shared->mutex);
    shared->comm = comm;
    shared->result = result;
    shared->done = true;
    shared->changed.notify_all();
  }).detach();
  const auto deadline = std::chrono::steady_clock::now() + options.connect_timeout;
  std::unique_lock lock(shared->mutex);
  while (!shared->changed.wait_for(lock, milliseconds{200}, [&] { return shared->done; })) {
    const std::string reason = options.give_up ? options.give_up() : std::string();
    if (!reason.empty()) {
      fail(options, reason);
    }
    if (std::chrono::steady_clock::now() > deadline) {
      fail(options,
           fmt::format("not all ranks came within {} ms", options.connect_timeout.count()));
    }
  }
  if (shared->result != ncclSuccess) {
    fail(options, ncclGetErrorString(shared->result));
  }
  return shared->comm;
}

}  // namespace zt::comm
