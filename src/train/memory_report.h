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
  Bytes files;  ///< part of `resident`: program code and mapped files
  Bytes peak;   ///< of `resident`, since the start of the process or the last forget_peak
};

/// Reads /proc/self/status. Errors: InternalError when the kernel does not tell.
[[nodiscard]] ProcessMemory read_process_memory();

/// Forgets the peak so far, where the kernel allows it.
void forget_peak();

/// Most memory that came on top of `base`, without pages of files (code that was touched for the
/// first time, mapped tokens and weights).
[[nodiscard]] Bytes peak_growth(const ProcessMemory& base);

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
