#include "train/checkpoint_folders.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include "checkpoint/deepspeed.h"
#include "checkpoint/deepspeed_write.h"
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

SetAside set_checkpoints_aside(const std::string& output_dir, std::int64_t step) {
  const fs::path output = output_dir;
  const auto latest = checkpoint::latest_tag(output_dir);
  std::vector<fs::path> moved;
  for (const auto& found : checkpoint::list_checkpoints(output_dir)) {
    if (found.step > step) moved.emplace_back(found.path);
  }
  for (const auto& found : checkpoint::list_own_deepspeed(output_dir)) {
    if (found.step <= step) continue;
    moved.emplace_back(found.path);
    if (moved.back().filename() == latest) moved.push_back(output / "latest");
  }
  if (moved.empty()) return {};
  int number = 1;
  while (fs::exists(output / fmt::format("previous_run_{}", number))) ++number;
  const auto aside = output / fmt::format("previous_run_{}", number);
  fs::create_directory(aside);
  SetAside result{0, aside.string()};
  for (const auto& path : moved) {
    if (fs::is_directory(path)) ++result.num_folders;
    fs::rename(path, aside / path.filename());
  }
  return result;
}

}  // namespace zt::train
