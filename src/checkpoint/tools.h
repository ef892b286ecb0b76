#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/deepspeed_write.h"
#include "checkpoint/opened_checkpoint.h"

namespace zt::checkpoint {

/// Told how much of `total` bytes a tool has done; may be empty. From several threads at once.
using ToolProgress = std::function<void(Bytes done, Bytes total)>;

/// Opens a checkpoint of any format: native, DeepSpeed (a folder with `latest` or with the files
/// themselves), universal, or a Hugging Face folder. Of an output directory, its newest checkpoint.
/// Errors: CheckpointError, FileError.
[[nodiscard]] OpenedCheckpoint open_checkpoint(const std::string& path);
/// The folder that open_checkpoint would open.
[[nodiscard]] std::string resolve_checkpoint(const std::string& path);

/// What a checkpoint is: format, step, states, shapes, sizes; with `tensors` every tensor.
[[nodiscard]] std::string inspect(const std::string& path, bool tensors);

/// Result of `zt ckpt verify`.
struct ToolVerification {
  std::string folder, format;
  std::vector<std::string> problems;
  std::vector<std::string> notes;  ///< that make nothing wrong
  Bytes read;
  bool hashed = true;  ///< false: the format has no hashes, only the structure was checked
};
/// Reads the whole checkpoint, on up to four threads.
[[nodiscard]] ToolVerification verify_any(const std::string& path, const ToolProgress& progress);

/// Differences of two checkpoints of any formats.
struct Difference {
  std::vector<std::string> lines;  ///< tensors and fields that differ; none: equal
  std::int64_t tensors = 0;        ///< compared, over all kinds
};
/// Compares names, shapes, values (widened to fp32, bit by bit) and the numbers of the run.
[[nodiscard]] Difference diff(const OpenedCheckpoint& a, const OpenedCheckpoint& b,
                              const ToolProgress& progress);

/// What `zt ckpt convert` writes.
struct ConvertOptions {
  std::string target;          ///< folder; what is written there must not exist, or be empty
  std::string model;           ///< config.json and tokenizer; empty: the checkpoint's own
  std::optional<DType> dtype;  ///< of the weights; absent: as they are
  Bytes shard_bytes{5'000'000'000};
};
/// Nothing that is there is replaced. Errors: ConfigError when `target` exists and is not an empty
/// folder.
void require_free_target(const std::string& target);
/// Writes a Hugging Face folder. The target appears when it is complete. Values are rounded once,
/// from the fp32 masters where there are any. Memory: a few MiB.
/// Errors: CheckpointError, FileError, ConfigError.
void convert_to_huggingface(const OpenedCheckpoint& from, const ConvertOptions& options,
                            const ToolProgress& progress);
/// Writes `<target>/checkpoint-<step>` in the native format, with the settings of the run where
/// `from` is native too. Returns that folder.
std::string convert_to_native(const OpenedCheckpoint& from, const ConvertOptions& options,
                              const ToolProgress& progress);

/// How `zt ckpt convert --to deepspeed` cuts the state.
struct DeepSpeedTarget {
  DeepSpeedLayout layout = DeepSpeedLayout::stage1;
  int world = 1;    ///< ranks that will load it
  std::string tag;  ///< empty: `global_step<N>`
};
/// Writes `<target>/<tag>` and `<target>/latest`, which DeepSpeed resumes. Adam's settings are
/// those of the run that saved. Returns `<target>/<tag>`.
std::string convert_to_deepspeed(const OpenedCheckpoint& from, const ConvertOptions& options,
                                 const DeepSpeedTarget& target, const ToolProgress& progress);

/// Bytes of the values of one kind over all parameters, widened to fp32.
[[nodiscard]] Bytes widened_bytes(const std::vector<layout::ParamSpec>& params);

}  // namespace zt::checkpoint
