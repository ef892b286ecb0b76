#pragma once

#include <string>

#include "memory/nvme/block_io.h"

namespace zt::memory {

/// What direct reads and writes of the disk under `nvme_path` reach.
struct DiskProbe {
  double write_gb_per_s = 0, read_gb_per_s = 0;
  bool direct = true;   ///< files bypass the page cache
  std::string engine;   ///< `io_uring`, or `pread/pwrite (why)`
  std::string verdict;  ///< one line when something costs more than a tenth; else empty
};

/// Writes and reads one file under `path` through the store, at most 256 MiB and `budget_seconds`
/// each way, and removes it. Errors: those of NvmeStore.
DiskProbe probe_disk(const std::string& path, const AioOptions& aio, double budget_seconds = 0.2);

}  // namespace zt::memory
