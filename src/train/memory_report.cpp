#include "train/memory_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace zt::train {

ProcessMemory read_process_memory() {
  constexpr std::int64_t kKiB = 1024;
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string key;
    std::int64_t kib = 0;
    words >> key >> kib;
    if (key == "VmRSS:") memory.resident = {kib * kKiB};
    if (key == "RssFile:") memory.files = {kib * kKiB};
    if (key == "VmHWM:") memory.peak = {kib * kKiB};
  }
  ZT_ASSERT(memory.resident.value > 0 && memory.peak.value > 0,
            "/proc/self/status has no VmRSS or VmHWM");
  return memory;
}

void forget_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";  // resets VmHWM to VmRSS, see proc(5)
}

Bytes peak_growth(const ProcessMemory& base) {
  const auto now = read_process_memory();
  const Bytes file_growth{std::max<std::int64_t>(0, now.files.value - base.files.value)};
  return {std::max<std::int64_t>(0, (now.peak - base.resident - file_growth).value)};
}

std::string memory_table(const std::vector<MemoryRow>& rows) {
  std::string text = fmt::format("{:<24}{:>14}{:>14}{:>10}", "memory", "planned", "actual", "diff");
  for (const auto& row : rows) {
    const auto planned = static_cast<double>(row.planned.value);
    const auto actual = static_cast<double>(row.actual.value);
    const std::string diff =
        planned > 0 ? fmt::format("{:+.1f}%", 100 * (actual - planned) / planned) : "-";
    text += fmt::format("\n{:<24}{:>14}{:>14}{:>10}", row.name, format_bytes(row.planned),
                        format_bytes(row.actual), diff);
  }
  return text;
}

}  // namespace zt::train
