#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/deepspeed.h"
#include "checkpoint/exchange.h"
#include "checkpoint/state_source.h"
#include "checkpoint/store.h"

namespace zt::checkpoint {

/// How DeepSpeed cuts the optimizer's state: stages 1 and 2 put the parameters of a group into one
/// flat buffer and cut that into equal parts; stage 3 cuts every parameter by itself.
enum class DeepSpeedLayout : std::uint8_t { stage1 = 1, stage2 = 2, stage3 = 3 };

/// What a DeepSpeed checkpoint holds beside tensors and the run's numbers.
struct DeepSpeedSave {
  std::string folder;  ///< as of `save_checkpoint(save_dir)`; the files go to `<folder>/<tag>`
  std::string tag;     ///< empty: `global_step<N>`
  DeepSpeedLayout layout = DeepSpeedLayout::stage1;
  int world = 1;             ///< ranks that will load it
  DType dtype = DType::f32;  ///< of the weights
  AdamSettings adam;
  double max_grad_norm = 1.0;
  std::int64_t micro_batch = 0;                 ///< per device, for `ds_config`; 0: left out
  std::int64_t sub_group_size = 1'000'000'000;  ///< stage 3; as of the config that will load it
  // fp16: the settings of the dynamic loss scaler, which DeepSpeed keeps inside of it.
  bool dynamic_loss_scale = true;
  std::int64_t loss_scale_window = 1000;
  int hysteresis = 2;
  bool consecutive_hysteresis = false;
  double min_loss_scale = 1;
};

/// The parameters of one optimizer group.
struct DeepSpeedGroup {
  std::vector<const layout::ParamSpec*> params;
  double weight_decay = 0;
};

/// The groups in DeepSpeed's order: that of `model.named_parameters()` of transformers' model.
[[nodiscard]] std::vector<DeepSpeedGroup> deepspeed_groups(
    const std::vector<layout::ParamSpec>& params, const DeepSpeedSave& save);

/// Writes a checkpoint that `deepspeed.initialize(...).load_checkpoint` resumes and that
/// DeepSpeed's own zero_to_fp32.py consolidates to exactly the master weights of `source`. The
/// files of rank r are written by the rank of `exchange` that equals r modulo its world, each
/// streamed slice by slice from `source`; they become visible together, `latest` last. Collective.
/// Returns `<folder>/<tag>`. Memory: a few MiB and the names of the parameters.
/// Errors: CheckpointError on all ranks; what was there before is unchanged then.
/// Source: DeepSpeed 0.19.8 runtime/engine.py, runtime/zero/stage_1_and_2.py, stage3.py.
std::string write_deepspeed(const StateSource& source, const std::vector<layout::ParamSpec>& params,
                            DeepSpeedSave save, const RankExchange& exchange);

/// Folders that write_deepspeed wrote into a directory, with their steps; what DeepSpeed itself
/// wrote is not among them.
[[nodiscard]] std::vector<CheckpointFolder> list_own_deepspeed(const std::string& output_dir);

/// Removes from an output directory what write_deepspeed wrote there for checkpoints that are gone:
/// folders of ours without their `checkpoint-<step>` beside them, and saves that a crash cut short.
/// What DeepSpeed itself wrote, and what `latest` names, stays. Returns one line per removal.
std::vector<std::string> remove_outdated_deepspeed(const std::string& output_dir);

}  // namespace zt::checkpoint
