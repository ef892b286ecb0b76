#include "memory/host_memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

namespace zt::memory {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kUnknown = -1;

/// The number after `key` in a file of `key value` lines, or the first number when key is empty.
std::int64_t number_in(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name;
    if (!key.empty() && (!(words >> name) || name != key)) continue;
    std::int64_t value = kUnknown;
    if (words >> value) return value;
    return kUnknown;  // `max`: no limit
  }
  return kUnknown;
}

/// What one cgroup folder leaves; a large number without a limit.
std::int64_t left_in(const fs::path& folder, bool unified) {
  const auto limit = number_in(folder / (unified ? "memory.max" : "memory.limit_in_bytes"), "");
  const auto used = number_in(folder / (unified ? "memory.current" : "memory.usage_in_bytes"), "");
  if (limit < 0 || used < 0) return std::numeric_limits<std::int64_t>::max();
  const auto cache =
      number_in(folder / "memory.stat", unified ? "inactive_file" : "total_inactive_file");
  return std::max<std::int64_t>(0, limit - used + std::max<std::int64_t>(0, cache));
}

}  // namespace

Bytes available_host_memory(const std::string& root_path) {
  const fs::path root(root_path);
  const auto kilobytes = number_in(root / "proc/meminfo", "MemAvailable:");
  std::int64_t result = kilobytes < 0 ? std::numeric_limits<std::int64_t>::max() : kilobytes * 1024;
  std::ifstream memberships(root / "proc/self/cgroup");
  std::string line;
  while (std::getline(memberships, line)) {
    const bool unified = line.rfind("0::", 0) == 0;
    if (!unified && line.find(":memory:") == std::string::npos) continue;
    const fs::path base = root / (unified ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
    fs::path below = fs::path(line.substr(line.rfind(':') + 1)).relative_path();
    for (;; below = below.parent_path()) {
      result = std::min(result, left_in(base / below, unified));
      if (below.empty()) break;
    }
  }
  return {result == std::numeric_limits<std::int64_t>::max() ? 0 : result};
}

}  // namespace zt::memory
