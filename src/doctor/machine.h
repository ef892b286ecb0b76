#pragma once

#include <string>

#include "doctor/verdict.h"

namespace zt::doctor {

/// Kernel and processor.
[[nodiscard]] Verdict check_system();
/// Host memory that is free, against `wanted` bytes; 0: only against what is little.
[[nodiscard]] Verdict check_host_memory();
/// Copies by all allowed processors at once, about a second. Value: GB/s, read and write.
[[nodiscard]] Verdict check_memory_bandwidth();
/// RLIMIT_MEMLOCK, which limits memory for RDMA and io_uring.
[[nodiscard]] Verdict check_locked_memory();
/// Open files.
[[nodiscard]] Verdict check_open_files();
/// /dev/shm, through which NCCL's ranks of one machine may talk.
[[nodiscard]] Verdict check_shared_memory(const std::string& folder = "/dev/shm");
/// Free space under `folder`, and the speed of one file of `bytes` there, past the page cache where
/// the file system can. The file is removed. Values: bytes; GB/s written and read.
[[nodiscard]] Verdicts check_disk(const std::string& folder, double bytes);
/// A port of 127.0.0.1, the ports that launchers use by default, and this machine's own name.
[[nodiscard]] Verdicts check_ports();
/// Whether the system clock is kept right; logs of several machines are compared by it.
[[nodiscard]] Verdict check_clock();

}  // namespace zt::doctor
