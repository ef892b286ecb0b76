#include "train/checkpoint_folders.h"

#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "checkpoint/deepspeed.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/store.h"

namespace zt::train {
namespace {

namespace fs = std::filesystem;

bool holds_checkpoint(const std::string& path) {
  return checkpoint::is_native(path) || !checkpoint::list_checkpoints(path).empty() ||
         !checkpoint::find_deepspeed(path).folder.empty();
}

/// N of `step_N`; -1 for other names.
std::int64_t step_of(const std::string& name) {
  constexpr std::string_view kPrefix = "step_";
  std::int64_t step = -1;
  if (!name.starts_with(kPrefix)) return -1;
  const auto* end = name.data() + name.size();
  const auto result = std::from_chars(name.data() + kPrefix.size(), end, step);
  return result.ec == std::errc() && result.ptr == end ? step : -1;
}

/// The `step_N` with the largest N that holds a checkpoint; empty: none.
std::string newest_step(const fs::path& folder) {
  std::string newest;
  std::int64_t most = -1;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const auto step = step_of(it->path().filename().string());
    if (step <= most || !holds_checkpoint(it->path().string())) continue;
    most = step;
    newest = it->path().string();
  }
  return newest;
}

}  // namespace

std::string locate_checkpoint(const std::string& path) {
  if (holds_checkpoint(path)) return path;
  for (const auto& parent : {fs::path(path), fs::path(path) / "checkpoints"}) {
    if (auto newest = newest_step(parent); !newest.empty()) return newest;
  }
  const auto last = (fs::path(path) / "final").string();
  return holds_checkpoint(last) ? last : path;
}

}  // namespace zt::train
