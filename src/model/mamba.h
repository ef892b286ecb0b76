#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "layer/model_parts.h"
#include "model/ends.h"
#include "model/length_limit.h"

namespace zt::model {

/// Sizes and constants of a Mamba-1 model, as its config.json gives them; defaults are those of
/// Hugging Face's MambaConfig. Source: Mamba (Gu and Dao, 2023).
struct MambaConfig {
  std::int64_t hidden = 0, layers = 0, vocab = 0;
  std::int64_t inner = 0;  ///< channels of convolution and scan: expand x hidden
  std::int64_t state = 16, conv = 4;
  std::int64_t rank = 0;  ///< of the time step's projection
  double rms_epsilon = 1e-5;
  bool conv_bias = true;
  bool fp32_residual = true;
  bool tied = true;  ///< the head uses the embedding
  // Initialisation.
  double init_range = 0.1;
  double time_step_min = 1e-3, time_step_max = 0.1, time_step_floor = 1e-4, time_step_scale = 1;
  bool constant_time_step = false;  ///< time_step_init_scheme "constant"
  bool rescale_out_proj = false;    ///< divided by sqrt(layers)
  /// Longest sequence of a preset; 0: any, as the architecture has no limit of its own.
  std::int64_t max_position = 0;

  [[nodiscard]] EndsConfig ends() const {
    return {hidden, vocab, rms_epsilon, fp32_residual, tied, init_range};
  }
  [[nodiscard]] LengthLimit length_limit() const {
    return {max_position, "max_seq_length of the preset", /*holds_for_request=*/true};
  }
};

/// ceil(hidden / 16), which "auto" stands for.
[[nodiscard]] std::int64_t default_time_step_rank(std::int64_t hidden);

/// Reads `folder`/config.json: Hugging Face's keys (`model_type` "mamba"), or those of the older
/// mamba_ssm folders (`d_model`, `n_layer`, `ssm_cfg`), whose vocabulary is padded.
/// Errors: FileError when it is missing or not JSON; ConfigError listing every missing, wrong or
/// unsupported value.
[[nodiscard]] MambaConfig read_mamba_config(const std::string& folder);

/// config.json as `transformers` reads it.
[[nodiscard]] std::string mamba_config_json(const MambaConfig& config);

/// A published size (`mamba-130m` ... `mamba-2.8b`), a preset (`1b_mamba`, `3b_mamba`, `7b_mamba`),
/// or sizes written out: `mamba:d_model=512,n_layers=6,vocab_size=1000`, optionally with d_state,
/// d_conv, expand and max_seq_length. Errors: ConfigError for wrong sizes behind `mamba:`.
[[nodiscard]] std::optional<MambaConfig> named_mamba(const std::string& name);
[[nodiscard]] std::vector<std::string> mamba_names();

/// The model as a list of layers: embedding, blocks, and norm + head + loss. Units: the embedding;
/// A_log, D and dt_proj.bias of all blocks, which stay fp32 in 16-bit runs; each block's other
/// parameters; and the norm with the head. A tied head uses the embedding's parameter.
[[nodiscard]] layer::ModelParts make_mamba(const MambaConfig& config);

/// Parameters, a tied one counted once.
[[nodiscard]] std::int64_t num_params(const MambaConfig& config);

/// FLOPs of forward and backward per token: three times those of one forward, with 6 per channel
/// and state for the scan (exp not counted).
[[nodiscard]] double train_flops_per_token(const MambaConfig& config);

}  // namespace zt::model
