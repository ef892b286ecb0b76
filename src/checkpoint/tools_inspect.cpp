#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "checkpoint/deepspeed.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/native_layout.h"
#include "checkpoint/tensor_set.h"
#include "checkpoint/tools.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using layout::StateKind;

constexpr std::array<StateKind, 3> kOptimizerKinds{StateKind::master, StateKind::exp_avg,
                                                   StateKind::exp_avg_sq};
constexpr unsigned kMaxThreads = 4;

struct FolderSize {
  std::int64_t bytes = 0, files = 0;
};

FolderSize folder_size(const std::string& folder) {
  FolderSize size;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    size.bytes += static_cast<std::int64_t>(entry.file_size());
    ++size.files;
  }
  return size;
}

std::string run_lines(const RunState& run) {
  auto text = fmt::format("step        {} ({} applied)\n", run.global_step, run.applied_steps);
  if (run.samples_seen > 0) {
    text += fmt::format("data        {} blocks, epoch {:.4g}\n", run.samples_seen, run.epoch);
  }
  if (run.global_batch > 0) {
    text += fmt::format("batch       {} blocks a step, coalesced by {}\n", run.global_batch,
                        run.coalesce);
  }
  if (run.loss_scaler) text += fmt::format("loss scale  {}\n", run.loss_scaler->scale);
  return text;
}

Verification verify_deepspeed(const std::string& folder, int part, int parts) {
  const DeepSpeedCheckpoint checkpoint(folder);
  return {checkpoint.verify(part, parts), {}, {}};
}

/// Opening checks headers, sizes and names; there are no hashes.
Verification verify_structure(const std::string& folder) {
  static_cast<void>(open_checkpoint(folder));
  return {};
}

Verification verify_part(const ToolVerification& what, int part, int parts,
                         const std::function<void(Bytes)>& progress) {
  try {
    if (what.format == "native") return verify(what.folder, part, parts, progress);
    if (what.format == "huggingface") return verify_structure(what.folder);
    return verify_deepspeed(what.folder, part, parts);
  } catch (const std::exception& error) {
    return {{error.what()}, {}, {}};
  }
}

std::string format_of(const std::string& folder) {
  if (is_native(folder)) return "native";
  return find_deepspeed(folder).folder.empty() ? "huggingface" : "deepspeed";
}

}  // namespace

std::string inspect(const std::string& path, bool tensors) {
  const auto folder = resolve_checkpoint(path);
  const auto opened = open_checkpoint(folder);
  std::int64_t parameters = 0;
  for (const auto& param : opened.params) parameters += param.numel().value;
  std::vector<std::string> states;
  for (const auto kind : kOptimizerKinds) {
    if (opened.source->has(kind)) states.emplace_back(to_string(kind));
  }
  const auto size = folder_size(folder);
  auto text = fmt::format("checkpoint  {}\nformat      {}\n", folder, opened.format);
  if (opened.format != "huggingface") text += run_lines(opened.source->run_state());
  text += fmt::format("weights     {} parameters in {} tensors, {}\n", parameters,
                      opened.params.size(), zt::to_string(opened.dtype));
  text += fmt::format("state       {}\n",
                      states.empty() ? "none" : fmt::format("{} (fp32)", fmt::join(states, ", ")));
  text += fmt::format("size        {} in {} files\n", format_bytes({size.bytes}), size.files);
  if (!tensors) return text;
  for (const auto& param : opened.params) {
    text += fmt::format("  {} {}\n", param.name, shape_text(param.shape));
  }
  return text;
}

ToolVerification verify_any(const std::string& path, const ToolProgress& progress) {
  ToolVerification result;
  result.folder = resolve_checkpoint(path);
  result.format = format_of(result.folder);
  result.hashed = result.format != "huggingface";
  const Bytes total{folder_size(result.folder).bytes};
  std::atomic<std::int64_t> done{0};
  const std::function<void(Bytes)> advance = [&](Bytes bytes) {
    done += bytes.value;
    if (progress) progress({done.load()}, total);
  };
  const int parts =
      result.hashed
          ? static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads))
          : 1;
  std::vector<Verification> found(static_cast<std::size_t>(parts));
  std::vector<std::thread> threads;
  threads.reserve(found.size());
  for (int part = 0; part < parts; ++part) {
    threads.emplace_back([&, part] {
      found.at(static_cast<std::size_t>(part)) = verify_part(result, part, parts, advance);
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& it : found) {
    result.problems.insert(result.problems.end(), it.problems.begin(), it.problems.end());
    result.notes.insert(result.notes.end(), it.notes.begin(), it.notes.end());
    result.read += it.read;
  }
  result.problems = each_once(result.problems);
  return result;
}

}  // namespace zt::checkpoint
