#include "train/output_dir.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "base/error.h"

namespace zt::train {
namespace {

namespace fs = std::filesystem;

/// Files that a finished or interrupted run leaves.
bool is_run_output(const fs::directory_entry& entry) {
  constexpr std::array<std::string_view, 9> kFiles = {
      "metrics.jsonl",      "config.json",
      "model.safetensors",  "eval_results.json",
      "train_results.json", "all_results.json",
      "trainer_state.json", "model.safetensors.index.json",
      "pytorch_model.bin"};
  const std::string name = entry.path().filename().string();
  for (const auto file : kFiles) {
    if (name == file) return true;
  }
  return name.starts_with("checkpoint-") || name.ends_with(".safetensors");
}

void create(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path)) {
    throw ConfigError(fmt::format("[train.output] --output_dir {}: cannot create the folder: {}.",
                                  path.string(),
                                  error ? error.message() : "a file is in its place"));
  }
}

void try_writing(const fs::path& path) {
  if (::access(path.c_str(), W_OK | X_OK) != 0) {
    throw ConfigError(
        fmt::format("[train.output] --output_dir {}: cannot write into the folder: {}.",
                    path.string(), std::strerror(errno)));
  }
}

}  // namespace

void prepare_output_dir(const std::string& path, bool overwrite) {
  if (path.empty()) {
    throw ConfigError("[train.output] --output_dir is missing: expected a folder to write into.");
  }
  create(path);
  try_writing(path);
  if (overwrite) return;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (!is_run_output(entry)) continue;
    throw ConfigError(fmt::format(
        "[train.output] --output_dir {} already holds the output of a run: found {}. Name another "
        "folder, go on with --resume_from_checkpoint latest, or pass --overwrite_output_dir.",
        path, entry.path().filename().string()));
  }
}

}  // namespace zt::train
