#include "memory/host_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"

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

/// Takes what one cgroup folder leaves, if that is less than what was found before.
void take_limit(const fs::path& folder, bool unified, HostMemoryState& state) {
  constexpr std::int64_t kNone = std::int64_t{1} << 60;  // version 1 writes a huge number
  const auto file = folder / (unified ? "memory.max" : "memory.limit_in_bytes");
  const auto limit = number_in(file, "");
  const auto used = number_in(folder / (unified ? "memory.current" : "memory.usage_in_bytes"), "");
  if (limit < 0 || limit >= kNone || used < 0) return;
  const auto cache =
      number_in(folder / "memory.stat", unified ? "inactive_file" : "total_inactive_file");
  const Bytes left{std::max<std::int64_t>(0, limit - used + std::max<std::int64_t>(0, cache))};
  if (state.limit.value > 0 && state.left <= left) return;
  state.limit = {limit};
  state.left = left;
  state.limit_file = file.string();
}

std::string list(const std::vector<HostItem>& items) {
  std::string text;
  for (const auto& item : items) {
    if (item.bytes.value == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", item.name, format_bytes(item.bytes));
  }
  return text;
}

}  // namespace

HostMemoryState host_memory_state(const std::string& root_path) {
  const fs::path root(root_path);
  HostMemoryState state;
  const auto kilobytes = number_in(root / "proc/meminfo", "MemAvailable:");
  if (kilobytes > 0) state.available = {kilobytes * 1024};
  std::ifstream memberships(root / "proc/self/cgroup");
  std::string line;
  while (std::getline(memberships, line)) {
    const bool unified = line.rfind("0::", 0) == 0;
    if (!unified && line.find(":memory:") == std::string::npos) continue;
    const fs::path base = root / (unified ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
    fs::path below = fs::path(line.substr(line.rfind(':') + 1)).relative_path();
    for (;; below = below.parent_path()) {
      take_limit(base / below, unified, state);
      if (below.empty()) break;
    }
  }
  return state;
}

Bytes available_host_memory(const std::string& root) {
  const auto state = host_memory_state(root);
  if (state.limit.value == 0) return state.available;
  return state.available.value == 0 ? state.left : std::min(state.available, state.left);
}

std::string check_host_memory(const std::vector<HostItem>& items, int ranks,
                              const HostMemoryState& state, std::optional<Bytes> allowed) {
  Bytes each;
  for (const auto& item : items) each += item.bytes;
  const auto all = each * ranks;
  const auto what =
      fmt::format("{} rank{} of this machine need{} {} of host memory together", ranks,
                  ranks == 1 ? "" : "s", ranks == 1 ? "s" : "", format_bytes(all));
  const auto details = fmt::format("each {}", list(items));
  const char* remedy =
      "Offload to nvme, keep a part on the GPU (\"ratio\"), take grad_accum_dtype bf16, or fewer "
      "ranks per machine; see zt plan --host_memory.";
  if (allowed) {
    if (all <= *allowed) return {};
    throw ConfigError(
        fmt::format("[memory.host] {}: got {} allowed by --host_memory, expected {} ({}). {}", what,
                    format_bytes(*allowed), format_bytes(all), details, remedy));
  }
  if (state.limit.value > 0 && all > state.left) {
    throw ConfigError(fmt::format(
        "[memory.host] {}: got {} left of the limit {} of {}, expected {} ({}). {} --host_memory "
        "SIZE says what may be used where the limit is not meant for this run.",
        what, format_bytes(state.left), format_bytes(state.limit), state.limit_file,
        format_bytes(all), details, remedy));
  }
  if (state.available.value == 0 || all <= state.available) return {};
  return fmt::format(
      "{}, the kernel calls {} available ({}). The run goes on, since some machines have more than "
      "they say; if it is killed: {}",
      what, format_bytes(state.available), details, remedy);
}

}  // namespace zt::memory
