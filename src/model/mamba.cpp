#include "model/mamba.h"

#include <cmath>
#include <memory>
#include <utility>

#include "model/mamba_block.h"
#include "model/parameters.h"

namespace zt::model {
namespace {

/// PyTorch's default for linear layers and convolutions: uniform up to 1 / sqrt(inputs of one
/// output) (kaiming uniform with a = sqrt(5)).
double default_bound(std::int64_t inputs) { return 1.0 / std::sqrt(static_cast<double>(inputs)); }

/// Parameters of one block, by unit.
struct BlockParams {
  std::vector<layout::ParamId> own, fp32;
  [[nodiscard]] std::vector<layout::ParamId> all() const {
    auto result = own;
    result.insert(result.end(), fp32.begin(), fp32.end());
    return result;
  }
};

layout::ParamId add_uniform(Parameters& params, std::string name, std::vector<std::int64_t> shape,
                            double bound) {
  return params.add({.name = std::move(name),
                     .shape = std::move(shape),
                     .init = layout::Init::uniform,
                     .init_scale = bound});
}

layout::ParamId add_plain(Parameters& params, std::string name, std::vector<std::int64_t> shape,
                          layout::Init init, bool keep_fp32) {
  return params.add({.name = std::move(name),
                     .shape = std::move(shape),
                     .init = init,
                     .decay = false,
                     .keep_fp32 = keep_fp32});
}

/// Init as MambaMixer.init_mamba_weights and MambaPreTrainedModel._init_weights of transformers 5.
/// Without decay, as the authors train: A_log, D, biases and norms.
BlockParams add_block(Parameters& params, const MambaConfig& config, std::int64_t index) {
  const auto prefix = "backbone.layers." + std::to_string(index) + ".";
  const auto mixer = prefix + "mixer.";
  const auto h = config.hidden, D = config.inner, S = config.state, R = config.rank;
  BlockParams ids;
  ids.own.push_back(params.norm(prefix + "norm.weight", h));
  ids.own.push_back(params.matrix(mixer + "in_proj.weight", 2 * D, h, config.init_range));
  ids.own.push_back(add_uniform(params, mixer + "conv1d.weight", {D, 1, config.conv},
                                default_bound(config.conv)));
  if (config.conv_bias) {
    ids.own.push_back(add_plain(params, mixer + "conv1d.bias", {D}, layout::Init::zeros, false));
  }
  ids.own.push_back(params.matrix(mixer + "x_proj.weight", R + 2 * S, D, config.init_range));
  ids.own.push_back(add_uniform(params, mixer + "dt_proj.weight", {D, R},
                                default_bound(R) * config.time_step_scale));
  if (config.constant_time_step) params.at(ids.own.back()).init = layout::Init::constant;
  const double depth = config.rescale_out_proj ? static_cast<double>(config.layers) : 1.0;
  ids.own.push_back(
      add_uniform(params, mixer + "out_proj.weight", {h, D}, default_bound(D) / std::sqrt(depth)));
  ids.fp32.push_back(add_plain(params, mixer + "A_log", {D, S}, layout::Init::log_index, true));
  ids.fp32.push_back(add_plain(params, mixer + "D", {D}, layout::Init::ones, true));
  ids.fp32.push_back(add_plain(params, mixer + "dt_proj.bias", {D}, layout::Init::time_step, true));
  auto& bias = params.at(ids.fp32.back());
  bias.init_low = config.time_step_min;
  bias.init_high = config.time_step_max;
  bias.init_floor = config.time_step_floor;
  return ids;
}

}  // namespace

std::int64_t default_time_step_rank(std::int64_t hidden) { return (hidden + 15) / 16; }

layer::ModelParts make_mamba(const MambaConfig& config) {
  layer::ModelParts model;
  Parameters params;
  const auto embedding = add_embedding(config.ends(), "backbone.embeddings.weight", params, model);
  model.units.push_back({"state spaces", {}});  // one unit for all blocks: they are small
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const auto ids = add_block(params, config, i);
    auto& fp32 = model.units[1].params;
    fp32.insert(fp32.end(), ids.fp32.begin(), ids.fp32.end());
    model.units.push_back({"block " + std::to_string(i), ids.own});
    model.layers.push_back(std::make_unique<MambaLayer>(config, static_cast<int>(i), ids.all()));
  }
  add_head(config.ends(), "backbone.norm_f.weight", embedding, params, model);
  model.params = params.take();
  return model;
}

std::int64_t num_params(const MambaConfig& c) {
  const auto small = c.rank + 2 * c.state;
  const auto block = 3 * c.hidden * c.inner + c.inner * (c.conv + (c.conv_bias ? 1 : 0)) +
                     c.inner * small + c.rank * c.inner + c.inner + c.inner * c.state + c.inner +
                     c.hidden;
  return c.layers * block + c.hidden + c.vocab * c.hidden * (c.tied ? 1 : 2);
}

double train_flops_per_token(const MambaConfig& c) {
  const auto block = 3 * c.hidden * c.inner + c.inner * (c.rank + 2 * c.state) + c.rank * c.inner +
                     c.inner * c.conv + 3 * c.inner * c.state;
  return 6.0 * static_cast<double>(c.layers * block + c.vocab * c.hidden);
}

}  // namespace zt::model
