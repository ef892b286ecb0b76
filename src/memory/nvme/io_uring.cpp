#include <fmt/format.h>
#include <liburing.h>

#include <cstring>

#include "base/error.h"
#include "memory/nvme/block_io.h"

namespace zt::memory {
namespace {

class IoUring final : public BlockIo {
 public:
  explicit IoUring(int depth) : requests_(static_cast<std::size_t>(depth)) {
    for (int slot = depth - 1; slot >= 0; --slot) free_.push_back(slot);
  }
  ~IoUring() override {
    if (open_) io_uring_queue_exit(&ring_);
  }

  /// 0, or the negative errno of the kernel's refusal.
  int open() {
    const int status = io_uring_queue_init(static_cast<unsigned>(depth()), &ring_, 0);
    if (status < 0) return status;
    open_ = true;
    io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
    const bool usable = probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_READ) &&
                        io_uring_opcode_supported(probe, IORING_OP_WRITE);
    if (probe != nullptr) io_uring_free_probe(probe);
    return usable ? 0 : -ENOSYS;
  }

  [[nodiscard]] int depth() const override { return static_cast<int>(requests_.size()); }

  void submit(const BlockRequest& request) override {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    ZT_ASSERT(entry != nullptr && !free_.empty(), "more requests than the ring holds");
    const int slot = free_.back();
    free_.pop_back();
    requests_[static_cast<std::size_t>(slot)] = request;
    const auto size = static_cast<unsigned>(request.size);
    const auto offset = static_cast<std::uint64_t>(request.offset);
    if (request.write) {
      io_uring_prep_write(entry, request.file, request.data, size, offset);
    } else {
      io_uring_prep_read(entry, request.file, request.data, size, offset);
    }
    io_uring_sqe_set_data64(entry, static_cast<std::uint64_t>(slot));
  }

  void flush() override {
    while (io_uring_sq_ready(&ring_) > 0) {
      const int status = io_uring_submit(&ring_);
      if (status >= 0 || status == -EINTR || status == -EAGAIN || status == -EBUSY) continue;
      throw FileError(
          fmt::format("[memory.nvme] io_uring takes no requests: {}.", std::strerror(-status)));
    }
  }

  std::vector<BlockCompletion> reap(int at_least) override {
    std::vector<BlockCompletion> result;
    while (static_cast<int>(result.size()) < at_least) {
      io_uring_cqe* entry = nullptr;
      const int status = io_uring_wait_cqe(&ring_, &entry);
      if (status == -EINTR || status == -EAGAIN) continue;
      if (status < 0) {
        throw FileError(fmt::format("[memory.nvme] io_uring reports no completions: {}.",
                                    std::strerror(-status)));
      }
      take(entry, result);
    }
    io_uring_cqe* entry = nullptr;
    while (io_uring_peek_cqe(&ring_, &entry) == 0) take(entry, result);
    return result;
  }

 private:
  void take(io_uring_cqe* entry, std::vector<BlockCompletion>& result) {
    const auto slot = static_cast<std::size_t>(io_uring_cqe_get_data64(entry));
    result.push_back({requests_[slot], entry->res});
    free_.push_back(static_cast<int>(slot));
    io_uring_cqe_seen(&ring_, entry);
  }

  io_uring ring_{};
  bool open_ = false;
  std::vector<BlockRequest> requests_;
  std::vector<int> free_;
};

}  // namespace

std::unique_ptr<BlockIo> make_io_uring(const AioOptions& options, std::string& refusal) {
  auto io = std::make_unique<IoUring>(options.queue_depth);
  const int status = io->open();
  if (status == 0) return io;
  refusal = fmt::format("the kernel refuses io_uring: {}", std::strerror(-status));
  return nullptr;
}

}  // namespace zt::memory
