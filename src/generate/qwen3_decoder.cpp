// Shape legend: N rows (tokens of a prefill, or slots of a step), h hidden, q = heads x head_dim,
// kv = kv_heads x head_dim, F ffn, S slots, C capacity, D head_dim.
#include "generate/qwen3_decoder.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "generate/decoder_ends.h"
#include "kernels/attention/attention.h"
#include "kernels/decode_attention/decode_attention.h"
#include "kernels/gemm/gemm.h"
#include "kernels/qk_norm_rope/qk_norm_rope.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/swiglu/swiglu.h"
#include "layer/tensor_view.h"
#include "model/blocks.h"

namespace zt::generate {

using layer::fused_rows;
using layer::view_of;

namespace {

/// Parameters of a block, in the order of model::BlockLayer::params().
struct BlockWeights {
  at::Tensor input_norm, qkv, q_norm, k_norm, o, post_norm, gate_up, down;

  static BlockWeights from(const layer::Tensors& p, std::int64_t qkv_rows, std::int64_t ffn) {
    ZT_ASSERT(p.size() == 11, "a Qwen3 block has eleven parameters");
    return {p[0], fused_rows(p[1], qkv_rows), p[4], p[5], p[6],
            p[7], fused_rows(p[8], 2 * ffn),  p[10]};
  }
};

/// Activations of N rows.
struct Rows {
  at::Tensor ids, positions;  ///< [N] int64
  at::Tensor x, normed, qkv, q, k, v, attention, projected, middle, gate_up, activated;
  at::Tensor rstd_heads;
};

std::int64_t row_values(const model::Qwen3Config& c) {
  const auto q = c.heads * c.head_dim;
  const auto kv = c.kv_heads * c.head_dim;
  return 4 * c.hidden + (q + 2 * kv) + (q + 2 * kv) + q + 3 * c.ffn;
}

class Qwen3Decoder final : public Decoder {
 public:
  Qwen3Decoder(const model::Qwen3Config& config, const layer::ModelParts& model, Weights weights,
               DecoderShape shape);
  [[nodiscard]] DecoderShape shape() const override { return shape_; }
  [[nodiscard]] std::int64_t vocab() const override { return config_.vocab; }
  at::Tensor prefill(std::int64_t slot, std::span<const std::int32_t> tokens) override;
  at::Tensor step(std::span<const std::int32_t> tokens) override;
  void release(std::int64_t slot) override { used_.at(static_cast<std::size_t>(slot)) = 0; }

 private:
  [[nodiscard]] Launch launch() const { return {.device = weights_.device}; }
  [[nodiscard]] Rows make_rows(std::int64_t count) const;
  /// Runs all blocks; `attend(layer, rows)` fills rows.attention from rows.q and stores k and v.
  template <typename Attend>
  void run_blocks(const Rows& rows, const Attend& attend) const;
  void queries_keys_values(const BlockWeights& block, const Rows& rows) const;
  void finish_block(const BlockWeights& block, const Rows& rows) const;

  struct Cache {
    at::Tensor k, v;  ///< [S, C, kv heads, D]
  };

  model::Qwen3Config config_;
  Weights weights_;
  DecoderShape shape_;
  DecoderEnds ends_;
  std::vector<BlockWeights> blocks_;
  std::vector<Cache> caches_;  ///< by layer
  at::Tensor rope_;            ///< [C, D] fp32
  Rows step_rows_;
  std::vector<std::int64_t> used_;  ///< tokens of each slot; 0: not in use
};

kernels::RmsNormShape norm_shape(const at::Tensor& x, const model::Qwen3Config& config) {
  return {x.size(0), config.hidden, static_cast<float>(config.rms_epsilon)};
}

Qwen3Decoder::Qwen3Decoder(const model::Qwen3Config& config, const layer::ModelParts& model,
                           Weights weights, DecoderShape shape)
    : config_(config),
      weights_(std::move(weights)),
      shape_(shape),
      ends_(config.ends(), model, weights_),
      used_(static_cast<std::size_t>(shape.slots), 0) {
  const auto qkv = (config.heads + 2 * config.kv_heads) * config.head_dim;
  const auto num_layers = static_cast<std::size_t>(config.layers);
  ZT_ASSERT(model.layers.size() == num_layers + 2, "embedding, blocks, head");
  const auto options = ends_.options();
  for (std::size_t i = 0; i < num_layers; ++i) {
    blocks_.push_back(BlockWeights::from(weights_.of(*model.layers[i + 1]), qkv, config.ffn));
    const std::vector<std::int64_t> sizes{shape.slots, shape.capacity, config.kv_heads,
                                          config.head_dim};
    caches_.push_back({at::zeros(sizes, options), at::zeros(sizes, options)});
  }
  step_rows_ = make_rows(shape.slots);
  rope_ = model::RopeTable(config).get(shape.capacity, step_rows_.x);
}

Rows Qwen3Decoder::make_rows(std::int64_t count) const {
  const auto options = ends_.options();
  const auto& c = config_;
  const auto make = [&](std::vector<std::int64_t> sizes) { return at::empty(sizes, options); };
  const auto q = c.heads * c.head_dim;
  Rows rows;
  rows.x = make({count, c.hidden});
  rows.normed = make({count, c.hidden});
  rows.qkv = make({count, q + 2 * c.kv_heads * c.head_dim});
  rows.q = make({count, c.heads, c.head_dim});
  rows.k = make({count, c.kv_heads, c.head_dim});
  rows.v = make({count, c.kv_heads, c.head_dim});
  rows.attention = make({count, c.heads, c.head_dim});
  rows.projected = make({count, c.hidden});
  rows.middle = make({count, c.hidden});
  rows.gate_up = make({count, 2 * c.ffn});
  rows.activated = make({count, c.ffn});
  rows.rstd_heads = at::empty({count, c.heads + c.kv_heads}, options.dtype(at::kFloat));
  return rows;
}

void Qwen3Decoder::queries_keys_values(const BlockWeights& block, const Rows& rows) const {
  kernels::rms_norm_forward(
      {.x = view_of(rows.x), .weight = view_of(block.input_norm), .y = view_of(rows.normed)},
      norm_shape(rows.x, config_), launch());
  kernels::linear_forward(rows.normed, block.qkv, rows.qkv);
  kernels::qk_norm_rope_forward({.qkv = view_of(rows.qkv),
                                 .q_weight = view_of(block.q_norm),
                                 .k_weight = view_of(block.k_norm),
                                 .cos_sin = view_of(rope_),
                                 .positions = view_of(rows.positions),
                                 .q = view_of(rows.q),
                                 .k = view_of(rows.k),
                                 .v = view_of(rows.v),
                                 .rstd = view_of(rows.rstd_heads)},
                                {.batch = rows.x.size(0),
                                 .sequence = 1,
                                 .q_heads = config_.heads,
                                 .kv_heads = config_.kv_heads,
                                 .head_dim = config_.head_dim,
                                 .epsilon = static_cast<float>(config_.rms_epsilon)},
                                launch());
}

void Qwen3Decoder::finish_block(const BlockWeights& block, const Rows& rows) const {
  const auto count = rows.x.size(0);
  kernels::linear_forward(rows.attention.view({count, -1}), block.o, rows.projected);
  kernels::rms_norm_forward({.x = view_of(rows.projected),
                             .residual = view_of(rows.x),
                             .sum = view_of(rows.middle),
                             .weight = view_of(block.post_norm),
                             .y = view_of(rows.normed)},
                            norm_shape(rows.x, config_), launch());
  kernels::linear_forward(rows.normed, block.gate_up, rows.gate_up);
  kernels::swiglu_forward(view_of(rows.gate_up), view_of(rows.activated), count, config_.ffn,
                          launch());
  kernels::linear_forward_residual(rows.activated, block.down, rows.middle, rows.x);
}

template <typename Attend>
void Qwen3Decoder::run_blocks(const Rows& rows, const Attend& attend) const {
  rows.x.copy_(ends_.embed(rows.ids, launch()));
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    queries_keys_values(blocks_[i], rows);
    attend(caches_[i], rows);
    finish_block(blocks_[i], rows);
  }
}

at::Tensor Qwen3Decoder::prefill(std::int64_t slot, std::span<const std::int32_t> tokens) {
  const at::AutoDispatchBelowAutograd below_autograd;
  const auto count = static_cast<std::int64_t>(tokens.size());
  ZT_ASSERT(count >= 1 && count <= shape_.capacity, "a prompt of one to capacity tokens");
  auto rows = make_rows(count);
  std::vector<std::int64_t> ids(tokens.begin(), tokens.end()), positions(tokens.size());
  for (std::size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<std::int64_t>(i);
  rows.ids = index_tensor(ids, ends_.options());
  rows.positions = index_tensor(positions, ends_.options());
  const auto log_sum_exp = at::empty({1, config_.heads, count}, rows.rstd_heads.options());
  const kernels::AttentionShape attention{1, count, config_.heads, config_.kv_heads,
                                          config_.head_dim};
  run_blocks(rows, [&](const Cache& cache, const Rows& r) {
    cache.k.select(0, slot).narrow(0, 0, count).copy_(r.k);
    cache.v.select(0, slot).narrow(0, 0, count).copy_(r.v);
    kernels::attention_forward(r.q.unsqueeze(0), r.k.unsqueeze(0), r.v.unsqueeze(0), {},
                               r.attention.unsqueeze(0), log_sum_exp, attention,
                               /*deterministic=*/true, launch());
  });
  used_.at(static_cast<std::size_t>(slot)) = count;
  return ends_.logits(rows.x.narrow(0, count - 1, 1), launch());
}

at::Tensor Qwen3Decoder::step(std::span<const std::int32_t> tokens) {
  const at::AutoDispatchBelowAutograd below_autograd;
  ZT_ASSERT(static_cast<std::int64_t>(tokens.size()) == shape_.slots, "a token for every slot");
  std::vector<std::int64_t> ids, positions, places;
  std::vector<std::int32_t> lengths;
  for (std::size_t slot = 0; slot < used_.size(); ++slot) {
    const bool in_use = used_[slot] > 0;
    ZT_ASSERT(used_[slot] < shape_.capacity, "a slot with room for one more token");
    const auto position = used_[slot];  // 0 in a slot that is not in use
    ids.push_back(in_use ? tokens[slot] : 0);
    positions.push_back(position);
    places.push_back(static_cast<std::int64_t>(slot) * shape_.capacity + position);
    lengths.push_back(checked_narrow<std::int32_t>(position + 1));
    if (in_use) ++used_[slot];
  }
  auto& rows = step_rows_;
  rows.ids = index_tensor(ids, ends_.options());
  rows.positions = index_tensor(positions, ends_.options());
  const auto place = index_tensor(places, ends_.options());
  const auto known = kernels::make_decode_lengths(lengths, shape_.capacity, rows.x);
  const kernels::DecodeAttentionShape attention{shape_.slots, shape_.capacity, config_.heads,
                                                config_.kv_heads, config_.head_dim};
  run_blocks(rows, [&](const Cache& cache, const Rows& r) {
    cache.k.flatten(0, 1).index_copy_(0, place, r.k);
    cache.v.flatten(0, 1).index_copy_(0, place, r.v);
    kernels::decode_attention(r.q, cache.k, cache.v, known, r.attention, attention, launch());
  });
  return ends_.logits(rows.x, launch());
}

}  // namespace

std::unique_ptr<Decoder> make_qwen3_decoder(const model::Qwen3Config& config,
                                            const layer::ModelParts& model, Weights weights,
                                            DecoderShape shape) {
  return std::make_unique<Qwen3Decoder>(config, model, std::move(weights), shape);
}

DecoderMemory qwen3_decoder_memory(const model::Qwen3Config& config, const layer::ModelParts& model,
                                   DType compute, Device device, DecoderShape shape,
                                   std::int64_t longest_prompt, int world) {
  const auto kv = config.kv_heads * config.head_dim;
  DecoderMemory memory;
  memory.weights = weight_bytes(model, compute, world);
  memory.state = storage({2 * config.layers * shape.slots * shape.capacity * kv}, compute);
  const auto rows = [&](std::int64_t count) {
    return storage({count * row_values(config)}, compute);
  };
  const kernels::AttentionShape prefill{1, longest_prompt, config.heads, config.kv_heads,
                                        config.head_dim};
  const kernels::DecodeAttentionShape decode{shape.slots, shape.capacity, config.heads,
                                             config.kv_heads, config.head_dim};
  memory.work =
      rows(shape.slots) +
      std::max(rows(longest_prompt) + kernels::attention_library(prefill, compute, device, false),
               kernels::decode_attention_library(decode, compute, device));
  // Logits in the compute dtype, and widened for the sampler; the rotary table.
  memory.work +=
      storage({2 * shape.slots * config.vocab + shape.capacity * config.head_dim}, DType::f32);
  if (device == Device::cpu && compute == DType::f16) {  // operands of the largest product
    memory.work += storage({std::max(config.vocab, 2 * config.ffn) * config.hidden}, DType::f32);
  }
  return memory;
}

}  // namespace zt::generate
