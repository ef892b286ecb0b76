#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "checkpoint/deepspeed.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxTag = 255;

[[noreturn]] void fail(const std::string& what) {
  throw CheckpointError("[checkpoint.deepspeed] " + what);
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool has_model_states(const fs::path& folder) {
  return is_file(folder / "mp_rank_00_model_states.pt") ||
         is_file(folder / "zero_pp_rank_0_mp_rank_00_model_states.pt");
}

/// The tag in `latest`: one plain name, which cannot lead out of the folder.
std::string read_tag(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxTag + 2, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
    text.pop_back();
  }
  return text;
}

void check_tag(const std::string& tag, const std::string& origin) {
  const bool plain = !tag.empty() && tag.size() <= kMaxTag && tag != "." && tag != ".." &&
                     tag.find_first_of(std::string("/\\\0\n", 4)) == std::string::npos;
  if (!plain) {
    fail(
        fmt::format("{} names no folder beside it. Give the tag's own name, such as "
                    "global_step100.",
                    origin));
  }
}

DeepSpeedFolder make(const fs::path& folder) {
  return {folder.string(), folder.filename().string(), is_folder(folder / "zero")};
}

DeepSpeedFolder tagged(const fs::path& root, const std::string& tag, const std::string& origin) {
  check_tag(tag, origin);
  if (!has_model_states(root / tag)) {
    fail(fmt::format("{} names '{}', which holds no model states. Is the save complete?", origin,
                     tag));
  }
  return make(root / tag);
}

}  // namespace

std::string latest_tag(const std::string& folder) {
  const auto path = fs::path(folder) / "latest";
  return is_file(path) ? read_tag(path) : std::string();
}

DeepSpeedFolder find_deepspeed(const std::string& folder, const std::string& tag) {
  const fs::path root(folder);
  if (!tag.empty()) return tagged(root, tag, "--checkpoint_tag");
  if (has_model_states(root)) return make(root.has_filename() ? root : root.parent_path());
  for (const char* name : {"latest", "latest_universal"}) {
    const auto path = root / name;
    if (is_file(path)) return tagged(root, read_tag(path), path.string());
  }
  return {};
}

}  // namespace zt::checkpoint
