#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "layer/model_parts.h"
#include "model/ends.h"
#include "model/length_limit.h"

namespace zt::model {

/// Sizes and constants of a Qwen3 model, as its config.json gives them.
/// Source: Qwen3 Technical Report (2025); Hugging Face Qwen3Config.
struct Qwen3Config {
  std::int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 128, ffn = 0, vocab = 0;
  std::int64_t max_position = 32768;
  double rope_theta = 1e6;
  double rms_epsilon = 1e-6;
  double init_range = 0.02;
  bool tied = false;  ///< the head uses the embedding

  [[nodiscard]] EndsConfig ends() const {
    return {hidden, vocab, rms_epsilon, /*fp32_residual=*/false, tied, init_range};
  }
  [[nodiscard]] LengthLimit length_limit() const {
    return {max_position, "max_position_embeddings", /*holds_for_request=*/false};
  }
};

/// Reads `folder`/config.json (keys of transformers 4 and 5).
/// Errors: FileError when it is missing or not JSON; ConfigError listing every missing, wrong or
/// unsupported value (other model types, sliding window, rope scaling, biases).
Qwen3Config read_qwen3_config(const std::string& folder);

/// A published size by name, e.g. `Qwen3-0.6B`; empty when there is none.
std::optional<Qwen3Config> named_shape(const std::string& name);
/// Names that named_shape knows, smallest first.
std::vector<std::string> shape_names();

/// config.json as `transformers` reads it.
[[nodiscard]] std::string qwen3_config_json(const Qwen3Config& config);

/// The model as a list of layers: embedding, blocks, and norm + head + loss. Units: the embedding,
/// each block, and the norm with the head. A tied head uses the embedding's parameter.
layer::ModelParts make_qwen3(const Qwen3Config& config);

/// Parameters, a tied one counted once.
std::int64_t num_params(const Qwen3Config& config);

/// FLOPs of forward and backward per token, attention counted causal:
/// 6 x (matmul parameters + vocab x hidden) + 6 x layers x heads x head_dim x sequence.
double train_flops_per_token(const Qwen3Config& config, std::int64_t sequence);

}  // namespace zt::model
