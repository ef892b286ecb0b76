// Shape legend: N rows (tokens of a prefill, or slots of a step), h hidden, D inner channels,
// K width of the convolution, R rank of the time step, S slots.
#include "generate/mamba_decoder.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "generate/decoder_ends.h"
#include "kernels/causal_conv1d/causal_conv1d.h"
#include "kernels/gemm/gemm.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/selective_scan/selective_scan.h"
#include "layer/tensor_view.h"

namespace zt::generate {

using kernels::columns_of;
using layer::view_of;

namespace {

/// Parameters of a block, in the order of model::MambaLayer::params().
struct BlockWeights {
  at::Tensor norm, in_proj, conv, conv_bias, x_proj, dt_proj, out_proj, a_log, skip, dt_bias;

  static BlockWeights from(const layer::Tensors& params, bool conv_bias) {
    ZT_ASSERT(params.size() == (conv_bias ? 10U : 9U), "parameters of a Mamba block");
    const std::size_t i = conv_bias ? 4 : 3;
    return {params[0],     params[1],     params[2],     conv_bias ? params[3] : at::Tensor(),
            params[i],     params[i + 1], params[i + 2], params[i + 3],
            params[i + 4], params[i + 5]};
  }
};

/// Activations of N rows.
struct Rows {
  at::Tensor normed, projected, u, small, delta, scanned, workspace;
};

std::int64_t row_values(const model::MambaConfig& c) {
  return 2 * c.hidden + 5 * c.inner + c.rank + 2 * c.state;
}

/// Of the scan of any prompt up to `longest`: a shorter one may be cut into more segments.
std::int64_t scan_workspace(const model::MambaConfig& c, std::int64_t longest) {
  std::int64_t most = 0;
  for (auto count = longest; count > 0; count -= kernels::kScanChunk) {
    most = std::max(most, kernels::scan_forward_workspace({1, count, c.inner, c.state}));
  }
  return most;
}

class MambaDecoder final : public Decoder {
 public:
  MambaDecoder(const model::MambaConfig& config, const layer::ModelParts& model, Weights weights,
               DecoderShape shape);
  [[nodiscard]] DecoderShape shape() const override { return shape_; }
  [[nodiscard]] std::int64_t vocab() const override { return config_.vocab; }
  at::Tensor prefill(std::int64_t slot, std::span<const std::int32_t> tokens) override;
  at::Tensor step(std::span<const std::int32_t> tokens) override;
  void release(std::int64_t /*slot*/) override {}  // the next prefill begins from zero

 private:
  struct State {
    at::Tensor inputs;   ///< [S, K - 1, D] compute dtype
    at::Tensor scanned;  ///< [S, D, states] fp32
  };
  [[nodiscard]] Launch launch() const { return {.device = weights_.device}; }
  [[nodiscard]] Rows make_rows(std::int64_t count, std::int64_t workspace) const;
  /// All blocks over x; `convolve` and `scan` are those of a prefill or of a step.
  template <typename Convolve, typename Scan>
  void run_blocks(const at::Tensor& x, const Rows& rows, const Convolve& convolve,
                  const Scan& scan) const;
  [[nodiscard]] kernels::ConvInputs conv_inputs(const BlockWeights& block, const Rows& rows) const;
  [[nodiscard]] kernels::ScanInputs scan_inputs(const BlockWeights& block, const Rows& rows) const;

  model::MambaConfig config_;
  Weights weights_;
  DecoderShape shape_;
  DecoderEnds ends_;
  std::vector<BlockWeights> blocks_;
  std::vector<State> states_;  ///< by layer
  Rows step_rows_;
};

MambaDecoder::MambaDecoder(const model::MambaConfig& config, const layer::ModelParts& model,
                           Weights weights, DecoderShape shape)
    : config_(config),
      weights_(std::move(weights)),
      shape_(shape),
      ends_(config.ends(), model, weights_) {
  const auto num_layers = static_cast<std::size_t>(config.layers);
  ZT_ASSERT(model.layers.size() == num_layers + 2, "embedding, blocks, head");
  const auto options = ends_.options();
  for (std::size_t i = 0; i < num_layers; ++i) {
    blocks_.push_back(BlockWeights::from(weights_.of(*model.layers[i + 1]), config.conv_bias));
    states_.push_back(
        {at::zeros({shape.slots, config.conv - 1, config.inner}, options),
         at::zeros({shape.slots, config.inner, config.state}, options.dtype(at::kFloat))});
  }
  step_rows_ = make_rows(shape.slots, 0);
}

Rows MambaDecoder::make_rows(std::int64_t count, std::int64_t workspace) const {
  const auto options = ends_.options();
  const auto& c = config_;
  const auto make = [&](std::int64_t width) { return at::empty({count, width}, options); };
  return {make(c.hidden),
          make(2 * c.inner),
          make(c.inner),
          make(c.rank + 2 * c.state),
          make(c.inner),
          make(c.inner),
          at::empty({workspace}, options.dtype(at::kFloat))};
}

kernels::ConvInputs MambaDecoder::conv_inputs(const BlockWeights& block, const Rows& rows) const {
  return {.x = columns_of(view_of(rows.projected), 2 * config_.inner, 0),
          .weight = view_of(block.conv),
          .bias = view_of(block.conv_bias),
          .positions = {}};
}

kernels::ScanInputs MambaDecoder::scan_inputs(const BlockWeights& block, const Rows& rows) const {
  const auto small = view_of(rows.small);
  const auto width = config_.rank + 2 * config_.state;
  return {.u = {view_of(rows.u)},
          .delta = {view_of(rows.delta)},
          .b = columns_of(small, width, config_.rank),
          .c = columns_of(small, width, config_.rank + config_.state),
          .z = columns_of(view_of(rows.projected), 2 * config_.inner, config_.inner),
          .a_log = view_of(block.a_log),
          .skip = view_of(block.skip),
          .delta_bias = view_of(block.dt_bias),
          .positions = {}};
}

template <typename Convolve, typename Scan>
void MambaDecoder::run_blocks(const at::Tensor& x, const Rows& rows, const Convolve& convolve,
                              const Scan& scan) const {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const auto& block = blocks_[i];
    kernels::rms_norm_forward(
        {.x = view_of(x), .weight = view_of(block.norm), .y = view_of(rows.normed)},
        {x.size(0), config_.hidden, static_cast<float>(config_.rms_epsilon)}, launch());
    kernels::linear_forward(rows.normed, block.in_proj, rows.projected);
    convolve(conv_inputs(block, rows), states_[i]);
    kernels::linear_forward(rows.u, block.x_proj, rows.small);
    kernels::linear_forward(rows.small.narrow(1, 0, config_.rank), block.dt_proj, rows.delta);
    scan(scan_inputs(block, rows), states_[i]);
    kernels::linear_forward_residual(rows.scanned, block.out_proj, x, x);
  }
}

at::Tensor MambaDecoder::prefill(std::int64_t slot, std::span<const std::int32_t> tokens) {
  const at::AutoDispatchBelowAutograd below_autograd;
  const auto count = static_cast<std::int64_t>(tokens.size());
  ZT_ASSERT(count >= 1 && count <= shape_.capacity, "a prompt of one to capacity tokens");
  const kernels::ConvShape conv{1, count, config_.inner, config_.conv};
  const kernels::ScanShape scan{1, count, config_.inner, config_.state};
  const auto rows = make_rows(count, kernels::scan_forward_workspace(scan));
  const auto x =
      ends_.embed(index_tensor({tokens.begin(), tokens.end()}, ends_.options()), launch());
  run_blocks(
      x, rows,
      [&](const kernels::ConvInputs& in, const State& state) {
        kernels::causal_conv1d_forward({.in = in,
                                        .y = {view_of(rows.u)},
                                        .initial_inputs = {},
                                        .final_inputs = view_of(state.inputs.select(0, slot))},
                                       conv, launch());
      },
      [&](const kernels::ScanInputs& in, const State& state) {
        kernels::selective_scan_forward({.in = in,
                                         .y = {view_of(rows.scanned)},
                                         .states = {},
                                         .initial_state = {},
                                         .final_state = view_of(state.scanned.select(0, slot)),
                                         .workspace = view_of(rows.workspace)},
                                        scan, launch());
      });
  return ends_.logits(x.narrow(0, count - 1, 1), launch());
}

at::Tensor MambaDecoder::step(std::span<const std::int32_t> tokens) {
  const at::AutoDispatchBelowAutograd below_autograd;
  ZT_ASSERT(static_cast<std::int64_t>(tokens.size()) == shape_.slots, "a token for every slot");
  const kernels::ConvShape conv{shape_.slots, 1, config_.inner, config_.conv};
  const kernels::ScanShape scan{shape_.slots, 1, config_.inner, config_.state};
  const auto& rows = step_rows_;
  const auto x =
      ends_.embed(index_tensor({tokens.begin(), tokens.end()}, ends_.options()), launch());
  run_blocks(
      x, rows,
      [&](const kernels::ConvInputs& in, const State& state) {
        kernels::causal_conv1d_step(in, {view_of(rows.u)}, view_of(state.inputs), conv, launch());
      },
      [&](const kernels::ScanInputs& in, const State& state) {
        kernels::selective_scan_step(in, {view_of(rows.scanned)}, view_of(state.scanned), scan,
                                     launch());
      });
  return ends_.logits(x, launch());
}

}  // namespace

std::unique_ptr<Decoder> make_mamba_decoder(const model::MambaConfig& config,
                                            const layer::ModelParts& model, Weights weights,
                                            DecoderShape shape) {
  return std::make_unique<MambaDecoder>(config, model, std::move(weights), shape);
}

DecoderMemory mamba_decoder_memory(const model::MambaConfig& config, const layer::ModelParts& model,
                                   DType compute, Device device, DecoderShape shape,
                                   std::int64_t longest_prompt, int world) {
  DecoderMemory memory;
  memory.weights = weight_bytes(model, compute, world);
  const auto rows = shape.slots * config.layers;
  memory.state = storage({rows * (config.conv - 1) * config.inner}, compute) +
                 storage({rows * config.inner * config.state}, DType::f32);
  memory.work = storage({(shape.slots + longest_prompt) * row_values(config)}, compute) +
                storage({2 * longest_prompt * config.hidden + 2 * shape.slots * config.vocab +
                         scan_workspace(config, longest_prompt)},
                        DType::f32);
  if (device == Device::cpu && compute != DType::f32) {  // operands of the largest product
    memory.work += storage({std::max(config.vocab, 2 * config.inner) * config.hidden}, DType::f32);
  }
  return memory;
}

}  // namespace zt::generate
