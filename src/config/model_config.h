#pragma once

#include <cstdint>
#include <string>

namespace zt::config {

struct ModelConfig {
  std::string model_name_or_path;      ///< HF folder with weights, or with config.json alone
  std::string tokenizer_name_or_path;  ///< empty: the model's folder
  bool from_scratch = false;           ///< initialise weights instead of loading them
};

/// Sizes of a model that a task file builds instead of naming a folder (`model_type: mamba`).
/// 0 or empty: not given.
struct ModelShape {
  std::string model_type;
  std::int64_t vocab_size = 0, max_seq_length = 0, d_model = 0, n_layers = 0;
  std::int64_t d_state = 0, d_conv = 0;
  double expand = 0;
  double dropout = 0;
};

}  // namespace zt::config
