#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/state_source.h"

namespace zt::checkpoint {

/// A checkpoint of any format as the tools see it.
struct OpenedCheckpoint {
  std::string format;  ///< `native`, `huggingface`, `deepspeed`, `universal`
  std::unique_ptr<StateSource> source;
  std::vector<layout::ParamSpec> params;  ///< names and shapes that the checkpoint holds
  DType dtype = DType::f32;               ///< of the weights
  std::string model_folder;  ///< where config.json and tokenizer files lie; empty: not there
};

}  // namespace zt::checkpoint
