#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/deepspeed_write.h"
#include "checkpoint/pickle_writer.h"

namespace zt::checkpoint {

/// Elements [begin, begin + length) of a parameter, or `length` zeros.
struct FlatRun {
  const layout::ParamSpec* param = nullptr;  ///< null: padding
  std::int64_t begin = 0, length = 0;
};

/// What one rank keeps of a group or sub-group: one flat tensor.
struct FlatPart {
  std::size_t group = 0;  ///< optimizer group
  std::vector<FlatRun> runs;
  std::int64_t padding = 0;  ///< elements at the end that belong to no parameter
  std::vector<const layout::ParamSpec*> params;  ///< of all ranks, in order
  [[nodiscard]] std::int64_t length() const;
};

/// The flat tensors of a rank, by group (stages 1 and 2) or by sub-group (stage 3).
[[nodiscard]] std::vector<FlatPart> flat_parts(const std::vector<DeepSpeedGroup>& groups,
                                               const DeepSpeedSave& save, int rank);

/// Everything the files of one checkpoint share.
struct DeepSpeedFiles {
  const StateSource& source;
  const std::vector<layout::ParamSpec>& params;
  const DeepSpeedSave& save;
  std::vector<DeepSpeedGroup> groups;
  std::string folder;  ///< where the files are written
};

[[nodiscard]] std::string optimizer_file_name(DType dtype, int rank);
[[nodiscard]] std::string model_file_name(DeepSpeedLayout layout, int rank);
/// Each writes one file. Errors: CheckpointError.
void write_optimizer_file(const DeepSpeedFiles& files, int rank);
void write_model_file(const DeepSpeedFiles& files, int rank);

/// Values of a run in pieces of bounded size, fp32.
void read_run(const StateSource& source, layout::StateKind kind, const FlatRun& run,
              const std::function<void(std::span<const float>)>& sink);

/// What DeepSpeed calls its version in the files: loading asks for one of at least 0.3.17.
inline constexpr const char* kDeepSpeedVersion = "0.19.8";
/// Key of our own numbers in the model states; DeepSpeed hands it back as client state.
inline constexpr const char* kOwnState = "zerotrain";

}  // namespace zt::checkpoint
