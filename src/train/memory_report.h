#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"
#include "schedule/schedule.h"

namespace zt::train {

/// Resident memory of this process.
struct ProcessMemory {
  Bytes resident;
  Bytes peak;  ///< since the start of the process or the last start_peak_measurement
};

/// Reads /proc/self/status. Errors: InternalError when the kernel does not tell.
[[nodiscard]] ProcessMemory read_process_memory();

/// Forgets the peak so far, where the kernel allows it, and returns the memory from which growth is
/// counted: the resident size, or the old peak when that could not be forgotten.
[[nodiscard]] Bytes start_peak_measurement();

/// Planned against measured, one line of the table.
struct MemoryRow {
  std::string name;
  Bytes planned, actual;
};

/// Text of the table, a line per row, with the difference in percent of the plan.
[[nodiscard]] std::string memory_table(const std::vector<MemoryRow>& rows);

/// What is planned for a rank: arenas of the program plus what ATen allocates beside them.
struct PlannedMemory {
  Bytes device_arena, host_arena, library;
  [[nodiscard]] Bytes total() const { return device_arena + host_arena + library; }
};

}  // namespace zt::train
