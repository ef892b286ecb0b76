#include "zero/engine_options.h"

namespace zt::zero {

EngineOptions engine_options(const config::Config& config) {
  EngineOptions options;
  options.zero = config.zero;
  options.precision = config.precision;
  options.optimizer = config.optimizer;
  options.shape = {config.run.per_device_train_batch_size, config.data.block_size,
                   config.data.document_mask};
  options.micro_steps = checked_narrow<int>(config.run.gradient_accumulation_steps);
  if (config.run.do_eval || !config.test.test_file_dir.empty()) {
    options.eval_batch = config.run.per_device_eval_batch_size.value_or(0);
  }
  options.device_limit = config.launch.gpu_memory.value_or(Bytes{});
  options.host_limit = config.launch.host_memory;
  return options;
}

}  // namespace zt::zero
