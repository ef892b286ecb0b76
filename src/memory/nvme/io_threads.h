#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "memory/nvme/block_io.h"

namespace zt::memory {

/// An open file of the store and what its blocks held when they were written.
struct IoFile {
  std::string path;
  int file = -1;
  std::int64_t size = 0;              ///< useful bytes; on disk in whole 4096-byte blocks
  std::vector<std::uint64_t> hashes;  ///< one per block; written by the thread that has the block
  std::vector<char> written;          ///< one per block
};

/// Threads that cut reads and writes of files into blocks and keep the disk's queue full.
///
/// Jobs that touch the same bytes of a file, one of them writing, run in the order they came in.
/// After a failure nothing more is issued; everybody who waits gets the first failure, after the
/// last request under way has come back.
class IoThreads {
 public:
  using MakeIo = std::function<std::unique_ptr<BlockIo>()>;
  struct Options {
    AioOptions aio;
    int threads = 1;
    bool verify = true;
    int rank = 0;                             ///< for messages
    std::function<void()> on_progress{};      ///< a block is done; may be empty
    std::chrono::milliseconds stall{30'000};  ///< see NvmeOptions
  };

  IoThreads(const Options& options, const MakeIo& make_io);
  /// Waits for everything under way.
  ~IoThreads();
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  /// Starts one read or write; returns its number. `data` stays alive until `wait` returned.
  std::int64_t start(IoFile& file, bool write, std::byte* data, std::int64_t offset,
                     std::int64_t size);
  /// Errors: FileError, the first failure of any job.
  void wait(std::int64_t number);
  void wait_all();
  /// Whether `wait` would return, or throw, at once.
  [[nodiscard]] bool is_done(std::int64_t number);
  void throw_if_failed();

 private:
  struct Job;
  struct Block;
  class Slots;
  void run(BlockIo& io);
  bool issue_and_reap(BlockIo& io, Slots& slots, std::unique_lock<std::mutex>& lock);
  bool next_block(Block& block);
  void finish(Block& block, const std::string& failure);
  void wait_until(std::unique_lock<std::mutex>& lock, const std::function<bool()>& done);
  void report_stall(std::int64_t& blocks_seen, std::chrono::steady_clock::time_point began);

  const Options options_;
  std::mutex mutex_;  ///< guards everything below but threads_
  std::condition_variable changed_;
  std::list<std::unique_ptr<Job>> jobs_;  ///< under way, in the order they came in
  std::int64_t last_number_ = 0;
  int in_flight_ = 0;  ///< blocks
  std::int64_t blocks_done_ = 0;
  std::string failure_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace zt::memory
