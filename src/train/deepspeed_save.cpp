#include "train/deepspeed_save.h"

#include <algorithm>
#include <string>

namespace zt::train {
namespace {

/// `step_{step}` with the step's number.
std::string tag_of(std::string tag, std::int64_t step) {
  const std::string kStep = "{step}";
  if (const auto at = tag.find(kStep); at != std::string::npos) {
    tag.replace(at, kStep.size(), std::to_string(step));
  }
  return tag;
}

}  // namespace

checkpoint::DeepSpeedSave deepspeed_save(
    const config::Config& config, const zero::EngineOptions& options, int world,
    const checkpoint::RunState& state,
    const std::function<double(std::int64_t applied_steps)>& learning_rate) {
  const auto& optimizer = config.optimizer;
  const auto& precision = config.precision;
  checkpoint::DeepSpeedSave save;
  save.folder = config.run.output_dir;
  save.tag = tag_of(config.checkpoint.tag, state.global_step);
  save.layout = static_cast<checkpoint::DeepSpeedLayout>(std::max(options.zero.stage, 1));
  save.world = world;
  save.dtype = options.precision.compute;
  save.adam.learning_rate = learning_rate(state.applied_steps);
  save.adam.beta1 = optimizer.beta1;
  save.adam.beta2 = optimizer.beta2;
  save.adam.epsilon = optimizer.epsilon;
  save.adam.weight_decay = optimizer.weight_decay;
  save.adam.bias_correction = optimizer.bias_correction;
  save.adam.decoupled_decay = !optimizer.l2_adam;
  save.adam.one_group = optimizer.decay_all;
  save.max_grad_norm = optimizer.max_grad_norm;
  save.micro_batch = config.run.per_device_train_batch_size;
  save.dynamic_loss_scale = precision.loss_scale == 0;
  save.loss_scale_window = precision.loss_scale_window;
  save.hysteresis = precision.hysteresis;
  save.consecutive_hysteresis = precision.consecutive_hysteresis;
  save.min_loss_scale = precision.min_loss_scale;
  return save;
}

}  // namespace zt::train
