#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace zt::doctor {

/// One GPU as the driver describes it; numbers that it does not tell are negative.
struct Gpu {
  std::string name;
  double memory = -1, memory_used = -1;  ///< bytes
  int processes = -1;                    ///< that compute on it
  int clock_mhz = -1, max_clock_mhz = -1;
  std::int64_t slowdown = -1;       ///< reasons for lower clocks, bits of NVML
  int temperature = -1;             ///< degrees Celsius
  std::int64_t memory_errors = -1;  ///< uncorrected, since the driver was loaded
  int links = -1;                   ///< NVLinks that are up
  std::vector<int> peers;           ///< per other GPU: NVML's status, 0 is peer access
};

/// What NVML says, all of it read at once.
struct Gpus {
  std::string driver;  ///< `580.65.06`
  int cuda = 0;        ///< 13000: CUDA 13.0, the newest that this driver runs
  std::vector<Gpu> gpus;
};

/// Loads libnvidia-ml.so.1 and asks it. Nothing where there is no such library or no driver; `why`
/// says which.
[[nodiscard]] std::optional<Gpus> read_gpus(std::string& why);

}  // namespace zt::doctor
