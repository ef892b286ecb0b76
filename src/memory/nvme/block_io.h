#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace zt::memory {

/// DeepSpeed's `aio` section.
struct AioOptions {
  std::int64_t block_size = 1 << 20;  ///< bytes of one request; rounded up to a multiple of 4096
  int queue_depth = 8;                ///< requests in flight per thread
  int intra_op_parallelism = 1;       ///< threads that issue requests, each with a ring of its own
  bool single_submit = false;         ///< one system call per request instead of one per batch
  bool overlap_events = true;  ///< new requests follow as old ones complete; false: batch by batch
  bool use_io_uring = true;    ///< false: pread and pwrite in queue_depth x parallelism threads
};

/// One read or write of whole 4096-byte blocks at a 4096-byte offset.
struct BlockRequest {
  int file = -1;
  bool write = false;
  std::byte* data = nullptr;
  std::int64_t size = 0;
  std::int64_t offset = 0;
  void* owner = nullptr;  ///< comes back with the completion
};

struct BlockCompletion {
  BlockRequest request;
  std::int64_t result = 0;  ///< bytes, or a negative errno
};

/// What one I/O thread issues its requests through. Not thread-safe.
class BlockIo {
 public:
  virtual ~BlockIo() = default;
  BlockIo() = default;
  BlockIo(const BlockIo&) = delete;
  BlockIo& operator=(const BlockIo&) = delete;

  /// Requests that may be in flight at once.
  [[nodiscard]] virtual int depth() const = 0;
  /// Queues one request; it may start only with `flush`.
  virtual void submit(const BlockRequest& request) = 0;
  /// Starts everything that was submitted.
  virtual void flush() = 0;
  /// Blocks until `at_least` requests are complete and returns all that are.
  virtual std::vector<BlockCompletion> reap(int at_least) = 0;
};

/// io_uring of this kernel. Null with the reason in `refusal` where the kernel refuses it (old
/// kernels, most containers).
std::unique_ptr<BlockIo> make_io_uring(const AioOptions& options, std::string& refusal);

/// pread and pwrite, one request at a time, on the calling thread.
std::unique_ptr<BlockIo> make_positional_io();

}  // namespace zt::memory
