#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

namespace zt::checkpoint {

struct FreeStaging {
  void operator()(std::byte* memory) const;
};
using StagingMemory = std::unique_ptr<std::byte[], FreeStaging>;
/// Memory for direct writes, on huge pages where the kernel has them: a disk then writes from it up
/// to twice as fast.
[[nodiscard]] StagingMemory allocate_staging(std::int64_t bytes);

/// A fixed number of staging buffers between one thread that fills and one that writes.
class StagingPool {
 public:
  StagingPool(std::size_t count, std::int64_t bytes);
  /// A buffer; waits until one is back. Errors: rethrows what `fail` was given.
  [[nodiscard]] StagingMemory take();
  void give_back(StagingMemory memory);
  /// Waits until all buffers that were taken are back. Errors: as `take`.
  void wait_all();
  /// The first failure counts.
  void fail(std::exception_ptr error);
  [[nodiscard]] bool failed();

 private:
  const std::size_t count_;
  const std::int64_t bytes_;
  std::mutex mutex_;  ///< guards everything below
  std::condition_variable changed_;
  std::vector<StagingMemory> free_;
  std::size_t taken_ = 0;
  std::exception_ptr error_;
};

}  // namespace zt::checkpoint
