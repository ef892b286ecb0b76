#include "checkpoint/staging.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

#include "base/units.h"

namespace zt::checkpoint {
namespace {

constexpr std::int64_t kHugePage = 2 << 20;

}  // namespace

void FreeStaging::operator()(std::byte* memory) const { std::free(memory); }

StagingMemory allocate_staging(std::int64_t bytes) {
  const auto size = static_cast<std::size_t>(round_up(bytes, kHugePage));
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kHugePage, size));
  if (memory == nullptr) throw std::bad_alloc();
  // Only advice: without huge pages a direct write is cut into many small segments.
  static_cast<void>(madvise(memory, size, MADV_HUGEPAGE));
  return StagingMemory(memory);
}

StagingPool::StagingPool(std::size_t count, std::int64_t bytes) : count_(count), bytes_(bytes) {}

StagingMemory StagingPool::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return error_ || taken_ < count_; });
  if (error_) std::rethrow_exception(error_);
  ++taken_;
  if (free_.empty()) return allocate_staging(bytes_);
  auto memory = std::move(free_.back());
  free_.pop_back();
  return memory;
}

void StagingPool::give_back(StagingMemory memory) {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(memory));
    --taken_;
  }
  changed_.notify_all();
}

void StagingPool::wait_all() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return taken_ == 0; });
  if (error_) std::rethrow_exception(error_);
}

void StagingPool::fail(std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  changed_.notify_all();
}

bool StagingPool::failed() {
  const std::lock_guard lock(mutex_);
  return error_ != nullptr;
}

}  // namespace zt::checkpoint
