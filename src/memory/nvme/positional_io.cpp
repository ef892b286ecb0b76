#include <unistd.h>

#include <cerrno>
#include <deque>

#include "memory/nvme/block_io.h"

namespace zt::memory {
namespace {

class PositionalIo final : public BlockIo {
 public:
  [[nodiscard]] int depth() const override { return 1; }
  void submit(const BlockRequest& request) override { requests_.push_back(request); }
  void flush() override {}

  std::vector<BlockCompletion> reap(int at_least) override {
    std::vector<BlockCompletion> result;
    while (!requests_.empty() && static_cast<int>(result.size()) < at_least) {
      const BlockRequest request = requests_.front();
      requests_.pop_front();
      const auto size = static_cast<std::size_t>(request.size);
      const ssize_t moved = request.write ? pwrite(request.file, request.data, size, request.offset)
                                          : pread(request.file, request.data, size, request.offset);
      result.push_back({request, moved < 0 ? -errno : moved});
    }
    return result;
  }

 private:
  std::deque<BlockRequest> requests_;
};

}  // namespace

std::unique_ptr<BlockIo> make_positional_io() { return std::make_unique<PositionalIo>(); }

}  // namespace zt::memory
