#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/opened_checkpoint.h"
#include "checkpoint/state_source.h"

namespace zt::checkpoint {

/// The numbers of an Adam optimizer that DeepSpeed keeps in its parameter groups.
struct AdamSettings {
  double learning_rate = 0;  ///< of the next step
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool bias_correction = true;
  bool decoupled_decay = true;  ///< AdamW
  /// One group, as with an `optimizer` section; false: the Trainer's two, decayed and not.
  bool one_group = true;
};

/// Which checkpoint a folder means.
struct DeepSpeedFolder {
  std::string folder;      ///< with the `.pt` files; empty: there is none
  std::string tag;         ///< its name
  bool universal = false;  ///< of ds_to_universal
};

/// The checkpoint of a save folder (named by `tag`, else by its file `latest`, else by
/// `latest_universal`), or the folder itself when it holds model states. An empty result: it is no
/// DeepSpeed checkpoint. Errors: CheckpointError when the tag is no plain name or is not there.
[[nodiscard]] DeepSpeedFolder find_deepspeed(const std::string& folder,
                                             const std::string& tag = "");

/// What `latest` in a folder says, whatever it names; empty: there is none.
[[nodiscard]] std::string latest_tag(const std::string& folder);

/// A checkpoint that DeepSpeed wrote, of ZeRO stage 0 to 3 or universal, in fp32, fp16 or bf16,
/// read slice by slice at any world size. Weights come from the fp32 masters where there are any,
/// so that nothing is rounded twice. The run's numbers that DeepSpeed does not keep are zero.
/// Tensor, pipeline and expert parallel checkpoints are refused by name.
/// Thread-safe after construction. Errors: CheckpointError naming file and tensor.
/// Source: DeepSpeed 0.19.8 runtime/engine.py, runtime/zero/stage_1_and_2.py, stage3.py.
class DeepSpeedCheckpoint : public StateSource {
 public:
  explicit DeepSpeedCheckpoint(const std::string& folder, const std::string& tag = "");
  ~DeepSpeedCheckpoint() override;
  DeepSpeedCheckpoint(const DeepSpeedCheckpoint&) = delete;
  DeepSpeedCheckpoint& operator=(const DeepSpeedCheckpoint&) = delete;

  [[nodiscard]] bool has(layout::StateKind kind) const override;
  void read(layout::StateKind kind, const layout::ParamSpec& param, std::int64_t begin,
            std::span<float> values) const override;
  [[nodiscard]] const RunState& run_state() const override;

  /// Compares names and shapes with the model's.
  /// Errors: CheckpointError listing every missing, unexpected and mis-shaped tensor.
  void check(const std::vector<layout::ParamSpec>& params) const;
  /// Names, shapes and aliases, in the order of the optimizer.
  [[nodiscard]] const std::vector<layout::ParamSpec>& params() const;
  [[nodiscard]] DType weight_dtype() const;
  [[nodiscard]] const DeepSpeedFolder& where() const;
  /// Of the first parameter group; nothing when the checkpoint holds no optimizer.
  [[nodiscard]] const std::optional<AdamSettings>& adam() const;
  /// Reads every byte of part `part` of `parts` of the files; one line per damaged file.
  [[nodiscard]] std::vector<std::string> verify(int part = 0, int parts = 1) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The same for the tools. Errors: CheckpointError.
[[nodiscard]] OpenedCheckpoint open_deepspeed(const std::string& folder,
                                              const std::string& tag = "");

}  // namespace zt::checkpoint
