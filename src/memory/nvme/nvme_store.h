#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/units.h"
#include "memory/nvme/block_io.h"

namespace zt::memory {

struct NvmeOptions {
  std::string path;  ///< `nvme_path`; made when it is missing
  int rank = 0;
  AioOptions aio;
  bool direct = true;  ///< O_DIRECT; a file system without it gives a buffered file and a notice
  bool verify = true;  ///< a 64-bit hash per block, kept in memory and compared when it is read
  /// Called by the I/O threads whenever a block is done, for a watchdog; may be empty.
  std::function<void()> on_progress;
  /// A disk that completes nothing for so long while somebody waits is named in the log, again and
  /// again. The wait goes on: a slow disk makes a pause.
  std::chrono::milliseconds stall{30'000};
  /// Tests: what a thread issues requests through; empty: io_uring, else pread and pwrite.
  std::function<std::unique_ptr<BlockIo>()> make_io;
};

/// A file of the store, by number.
struct NvmeRange {
  int id = -1;
  Bytes size;
};

/// A read or a write under way.
struct NvmeTicket {
  std::int64_t id = 0;
};

/// What a store has moved and how.
struct NvmeStats {
  Bytes reserved;           ///< on disk, in whole blocks
  Bytes read, written;      ///< since the store was made
  double wait_seconds = 0;  ///< that callers spent in `wait`
  std::string engine;       ///< `io_uring`, or `pread/pwrite (why)`
  bool direct = true;       ///< files are open with O_DIRECT
};

/// Optimizer states and parameters in files under `nvme_path`: named ranges, read and written by
/// background threads while the caller computes.
///
/// Files lie in <path>/zerotrain/rank<5 digits>/<name>, a folder that a lock keeps for this store;
/// a second run on the same path gets rank<..>.1 and so on. What a crashed run left is removed when
/// the next store is made, what this one made when it goes: a file never survives its run.
/// Reads of a range wait for its earlier writes and writes for its earlier reads and writes,
/// whether or not the caller waited.
/// Thread: all members may be called from several threads.
/// Errors: FileError naming file, offset and rank: on EIO, ENOSPC, files that end early, contents
/// that are not those that were written. After one, every call throws it again.
class NvmeStore {
 public:
  explicit NvmeStore(NvmeOptions options);
  /// Waits for what is under way, then removes the files.
  ~NvmeStore();
  NvmeStore(const NvmeStore&) = delete;
  NvmeStore& operator=(const NvmeStore&) = delete;

  /// Reserves a range on disk. `name`: letters, digits, `.`, `_`, `-`; once per store.
  /// Errors: FileError with the missing bytes when the disk is full.
  NvmeRange add(const std::string& name, Bytes size);

  /// Starts reading [offset, offset + to.size()) of a range. The buffer stays untouched by the
  /// caller until `wait`. `offset` is a multiple of block_size(); the end is one or the range's
  /// end. Buffers at multiples of alignment() are read into directly, others by way of a copy.
  NvmeTicket read(const NvmeRange& range, std::span<std::byte> to, Bytes offset = {});
  NvmeTicket write(const NvmeRange& range, std::span<const std::byte> from, Bytes offset = {});

  /// Blocks until the read or write is complete. A ticket is waited for once. Errors: the store's.
  void wait(NvmeTicket ticket);
  /// Blocks until nothing is under way. Errors: the store's.
  void wait_all();
  /// Whether `wait` would return at once.
  [[nodiscard]] bool is_done(NvmeTicket ticket) const;

  [[nodiscard]] Bytes block_size() const;
  [[nodiscard]] Bytes alignment() const;  ///< of buffers; 4096
  [[nodiscard]] NvmeStats stats() const;
  [[nodiscard]] std::string folder() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What a range of that size takes on a disk.
Bytes on_disk(Bytes size);

/// Free bytes of the file system that holds `path` (or its nearest parent that exists).
/// Errors: FileError when it cannot be asked.
Bytes free_disk(const std::string& path);

}  // namespace zt::memory
