#include "memory/nvme/io_threads.h"

#include <fmt/format.h>
#include <pthread.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <new>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/units.h"

namespace zt::memory {
namespace {

constexpr std::int64_t kDiskBlock = 4096;

struct FreeBuffer {
  void operator()(std::byte* buffer) const { std::free(buffer); }
};

std::string moved_text(bool write) { return write ? "written" : "read"; }

}  // namespace

struct IoThreads::Job {
  std::int64_t number = 0;
  IoFile* file = nullptr;
  bool write = false;
  std::byte* data = nullptr;
  std::int64_t offset = 0, size = 0;
  std::int64_t issued = 0;  ///< bytes handed to threads
  int outstanding = 0;      ///< blocks that threads have

  [[nodiscard]] bool conflicts(const Job& other) const {
    return file == other.file && (write || other.write) && offset < other.offset + other.size &&
           other.offset < offset + size;
  }
};

/// One block of a job in the hands of a thread.
struct IoThreads::Block {
  Job* job = nullptr;
  std::byte* data = nullptr;  ///< the caller's bytes
  std::int64_t offset = 0, size = 0;
  std::int64_t moved = 0;                           ///< whole disk blocks that are done
  std::byte* at = nullptr;                          ///< what the disk works on: data or bounce
  std::unique_ptr<std::byte, FreeBuffer> bounce{};  ///< kept from block to block

  [[nodiscard]] std::int64_t padded() const { return round_up(size, kDiskBlock); }
  [[nodiscard]] std::size_t number(std::int64_t block_size) const {
    return static_cast<std::size_t>(offset / block_size);
  }
  [[nodiscard]] BlockRequest request() {
    return {job->file->file, job->write, at + moved, padded() - moved, offset + moved, this};
  }
  [[nodiscard]] std::string place(int rank) const {
    return fmt::format("{} at byte {} (rank {})", job->file->path, offset + moved, rank);
  }
  /// Chooses what the disk works on and takes the hash of what is written. Returns a failure.
  std::string prepare(const Options& options);
  /// Takes in what the disk did. `done` when the block is complete. Returns a failure.
  std::string take(std::int64_t result, const Options& options, bool& done);
};

std::string IoThreads::Block::prepare(const Options& options) {
  IoFile& file = *job->file;
  const std::size_t index = number(options.aio.block_size);
  if (!job->write && file.written[index] == 0) {
    return fmt::format("[memory.nvme] {} was never written. This is a bug of zerotrain.",
                       place(options.rank));
  }
  moved = 0;
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  if (address % kDiskBlock == 0 && size % kDiskBlock == 0) {
    at = data;
  } else {
    if (!bounce) {
      bounce.reset(static_cast<std::byte*>(
          std::aligned_alloc(kDiskBlock, static_cast<std::size_t>(options.aio.block_size))));
      if (!bounce) throw std::bad_alloc();
    }
    at = bounce.get();
    if (job->write) {
      std::memcpy(at, data, static_cast<std::size_t>(size));
      std::memset(at + size, 0, static_cast<std::size_t>(padded() - size));
    }
  }
  if (job->write) {
    if (options.verify) file.hashes[index] = XXH3_64bits(at, static_cast<std::size_t>(size));
    file.written[index] = 1;
  }
  return {};
}

std::string IoThreads::Block::take(std::int64_t result, const Options& options, bool& done) {
  if (result == -EINTR || result == -EAGAIN) return {};
  if (result < 0) {
    return fmt::format("[memory.nvme] {} cannot be {}: {}. {}", place(options.rank),
                       moved_text(job->write), std::strerror(static_cast<int>(-result)),
                       result == -ENOSPC ? "Free space under nvme_path, or offload less."
                                         : "Check the disk under nvme_path (dmesg).");
  }
  const std::int64_t whole = result / kDiskBlock * kDiskBlock;
  if (whole == 0 && moved + result < padded()) {
    return fmt::format(
        "[memory.nvme] {}: only {} of {} bytes were {}. Check the disk under nvme_path.",
        place(options.rank), result, padded() - moved, moved_text(job->write));
  }
  moved += whole;
  done = moved >= padded();
  if (!done || job->write) return {};
  if (options.verify && XXH3_64bits(at, static_cast<std::size_t>(size)) !=
                            job->file->hashes[number(options.aio.block_size)]) {
    moved = 0;
    return fmt::format(
        "[memory.nvme] {}: {} bytes are not those that were written. The disk under nvme_path, or "
        "another program, has changed them; nothing was used.",
        place(options.rank), size);
  }
  if (at != data) std::memcpy(data, at, static_cast<std::size_t>(size));
  return {};
}

/// The blocks that one thread has in flight.
class IoThreads::Slots {
 public:
  explicit Slots(int depth) : blocks_(static_cast<std::size_t>(depth)) {
    for (auto& block : blocks_) free_.push_back(&block);
  }
  [[nodiscard]] bool full() const { return free_.empty(); }
  [[nodiscard]] int in_use() const { return static_cast<int>(blocks_.size() - free_.size()); }
  Block* take() {
    Block* block = free_.back();
    free_.pop_back();
    return block;
  }
  void give_back(Block* block) { free_.push_back(block); }
  /// What the disk is done with and nobody has looked at yet.
  std::deque<BlockCompletion>& back() { return back_; }

 private:
  std::vector<Block> blocks_;
  std::vector<Block*> free_;
  std::deque<BlockCompletion> back_;
};

IoThreads::IoThreads(const Options& options, const MakeIo& make_io) : options_(options) {
  std::vector<std::unique_ptr<BlockIo>> ios;  // all of them before the first thread: one may throw
  for (int i = 0; i < options.threads; ++i) ios.push_back(make_io());
  for (auto& each : ios) {
    threads_.emplace_back([this, io = std::move(each)] { run(*io); });
  }
}

IoThreads::~IoThreads() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

std::int64_t IoThreads::start(IoFile& file, bool write, std::byte* data, std::int64_t offset,
                              std::int64_t size) {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw FileError(failure_);
  ++last_number_;
  if (size == 0) return last_number_;
  auto job = std::make_unique<Job>();
  *job = {last_number_, &file, write, data, offset, size};
  jobs_.push_back(std::move(job));
  changed_.notify_all();
  return last_number_;
}

/// Names what the disk has not answered when no block was done since the last look. Under the
/// mutex.
void IoThreads::report_stall(std::int64_t& blocks_seen,
                             std::chrono::steady_clock::time_point began) {
  if (std::exchange(blocks_seen, blocks_done_) != blocks_done_) return;
  const auto job = std::find_if(jobs_.begin(), jobs_.end(),
                                [](const auto& each) { return each->outstanding > 0; });
  if (job == jobs_.end()) return;
  const auto& stuck = **job;
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - began;
  log::warning(
      "memory",
      fmt::format("the disk does not answer: {} is to be {} up to byte {} (rank {}), nothing "
                  "was done for {:.0f} s or more, waited {:.0f} s. Check the disk under "
                  "nvme_path (dmesg).",
                  stuck.file->path, moved_text(stuck.write), stuck.offset + stuck.issued,
                  options_.rank, std::chrono::duration<double>(options_.stall).count(),
                  waited.count()));
}

void IoThreads::wait_until(std::unique_lock<std::mutex>& lock, const std::function<bool()>& done) {
  const auto began = std::chrono::steady_clock::now();
  auto seen = blocks_done_;
  const auto over = [&] { return failure_.empty() ? done() : in_flight_ == 0; };
  while (!changed_.wait_for(lock, options_.stall, over)) report_stall(seen, began);
  if (!failure_.empty()) throw FileError(failure_);
}

void IoThreads::wait(std::int64_t number) {
  std::unique_lock lock(mutex_);
  wait_until(lock, [&] {
    return std::none_of(jobs_.begin(), jobs_.end(),
                        [&](const auto& job) { return job->number == number; });
  });
}

void IoThreads::wait_all() {
  std::unique_lock lock(mutex_);
  wait_until(lock, [&] { return jobs_.empty(); });
}

bool IoThreads::is_done(std::int64_t number) {
  const std::lock_guard lock(mutex_);
  return !failure_.empty() || std::none_of(jobs_.begin(), jobs_.end(),
                                           [&](const auto& job) { return job->number == number; });
}

void IoThreads::throw_if_failed() {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw FileError(failure_);
}

/// Fills `block` with the next one to issue; false when there is none. Under the mutex.
bool IoThreads::next_block(Block& block) {
  if (!failure_.empty()) return false;
  for (auto job = jobs_.begin(); job != jobs_.end(); ++job) {
    Job& candidate = **job;
    if (candidate.issued == candidate.size) continue;
    const bool waits = std::any_of(
        jobs_.begin(), job, [&](const auto& earlier) { return earlier->conflicts(candidate); });
    if (waits) continue;
    block.job = &candidate;
    block.data = candidate.data + candidate.issued;
    block.offset = candidate.offset + candidate.issued;
    block.size = std::min(options_.aio.block_size, candidate.size - candidate.issued);
    candidate.issued += block.size;
    ++candidate.outstanding;
    ++in_flight_;
    return true;
  }
  return false;
}

/// One block is done or failed. Under the mutex.
void IoThreads::finish(Block& block, const std::string& failure) {
  --in_flight_;
  ++blocks_done_;
  --block.job->outstanding;
  if (options_.on_progress) options_.on_progress();
  if (!failure.empty() && failure_.empty()) failure_ = failure;
  if (block.job->outstanding == 0 && block.job->issued == block.job->size) {
    jobs_.remove_if([&](const auto& job) { return job.get() == block.job; });
  }
  changed_.notify_all();
}

void IoThreads::run(BlockIo& io) {
  pthread_setname_np(pthread_self(), "zt-nvme");
  Slots slots(io.depth());
  std::unique_lock lock(mutex_);
  for (;;) {
    try {
      if (issue_and_reap(io, slots, lock)) continue;
    } catch (const std::exception& error) {
      // The ring itself failed: what it had in flight is lost with it.
      if (!lock.owns_lock()) lock.lock();
      if (failure_.empty()) failure_ = error.what();
      in_flight_ -= slots.in_use();
      changed_.notify_all();
      return;
    }
    if (stop_ && (!failure_.empty() || jobs_.empty())) return;
    changed_.wait(lock);
  }
}

/// Issues what may be issued and takes in what is complete; false when there was nothing to do.
bool IoThreads::issue_and_reap(BlockIo& io, Slots& slots, std::unique_lock<std::mutex>& lock) {
  std::vector<Block*> batch;
  const bool may_issue = options_.aio.overlap_events || slots.in_use() == 0;
  while (may_issue && !slots.full()) {
    Block* block = slots.take();
    if (!next_block(*block)) {
      slots.give_back(block);
      break;
    }
    batch.push_back(block);
  }
  if (slots.in_use() == 0) return false;
  lock.unlock();
  std::vector<std::pair<Block*, std::string>> finished;
  for (Block* block : batch) {
    const std::string failure = block->prepare(options_);
    if (!failure.empty()) {
      finished.emplace_back(block, failure);
      continue;
    }
    io.submit(block->request());
    // What was hashed leaves at once: the disk works while the next block is hashed.
    if (options_.aio.single_submit || (options_.verify && block->job->write)) io.flush();
  }
  io.flush();
  const int on_disk = slots.in_use() - static_cast<int>(finished.size() + slots.back().size());
  if (finished.empty() && slots.back().empty()) {
    for (auto& completion : io.reap(options_.aio.overlap_events ? 1 : on_disk)) {
      slots.back().push_back(completion);
    }
  }
  if (!slots.back().empty()) {  // one at a time: its successor is issued before the next is hashed
    const BlockCompletion completion = slots.back().front();
    slots.back().pop_front();
    auto* block = static_cast<Block*>(completion.request.owner);
    bool done = false;
    const std::string failure = block->take(completion.result, options_, done);
    if (done || !failure.empty()) {
      finished.emplace_back(block, failure);
    } else {
      io.submit(block->request());
      io.flush();
    }
  }
  lock.lock();
  for (const auto& [block, failure] : finished) {
    finish(*block, failure);
    slots.give_back(block);
  }
  return true;
}

}  // namespace zt::memory
