#pragma once

#include <string>

#include "config/env.h"
#include "doctor/verdict.h"
#include "memory/view.h"

namespace zt::doctor {

/// Ranks of this very program (`zt doctor --rank_probe`) reduce and gather a buffer, as training
/// does, on 127.0.0.1: over Gloo on the CPU, over NCCL on as many GPUs. In processes of their own,
/// so that one that crashes or hangs ends there. Value: bus bandwidth in GB/s.
[[nodiscard]] Verdict check_loopback(Device device, int ranks);

/// One such rank; rank 0 writes what it measured to `file`. Errors: CommError, DeviceError.
void run_probe(const config::RankEnvironment& rank, Device device, const std::string& file);

}  // namespace zt::doctor
