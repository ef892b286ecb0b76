#pragma once

namespace zt::plan {

/// Bytes/s that one rank's copies, optimizer and disk reach, with all ranks of the machine at it.
/// 0: takes no time.
struct OffloadRates {
  double download = 0, upload = 0;       ///< between device and host
  double optimizer = 0;                  ///< that the host's AdamW reads and writes
  double disk_read = 0, disk_write = 0;  ///< between host and disk
};

/// What a step is predicted from.
struct MachineRates {
  double product = 0;        ///< FLOP/s of layers, everything in them included
  double device_memory = 0;  ///< bytes/s of the device's optimizer, sums and norms
  double link = 0;           ///< bytes/s that are sent to other ranks
  OffloadRates host;
};

}  // namespace zt::plan
