#include "model/qwen3.h"

#include <memory>
#include <utility>

#include "model/blocks.h"
#include "model/ends.h"
#include "model/parameters.h"

namespace zt::model {
namespace {

std::vector<layout::ParamId> add_block(Parameters& params, const Qwen3Config& config,
                                       std::int64_t index) {
  const auto prefix = "model.layers." + std::to_string(index) + ".";
  const auto q = config.heads * config.head_dim;
  const auto kv = config.kv_heads * config.head_dim;
  const auto h = config.hidden;
  const auto matrix = [&](const char* name, std::int64_t rows, std::int64_t cols,
                          bool adjacent = false) {
    return params.matrix(prefix + name, rows, cols, config.init_range, adjacent);
  };
  return {params.norm(prefix + "input_layernorm.weight", h),
          matrix("self_attn.q_proj.weight", q, h),
          matrix("self_attn.k_proj.weight", kv, h, true),
          matrix("self_attn.v_proj.weight", kv, h, true),
          params.norm(prefix + "self_attn.q_norm.weight", config.head_dim),
          params.norm(prefix + "self_attn.k_norm.weight", config.head_dim),
          matrix("self_attn.o_proj.weight", h, q),
          params.norm(prefix + "post_attention_layernorm.weight", h),
          matrix("mlp.gate_proj.weight", config.ffn, h),
          matrix("mlp.up_proj.weight", config.ffn, h, true),
          matrix("mlp.down_proj.weight", h, config.ffn)};
}

}  // namespace

layer::ModelParts make_qwen3(const Qwen3Config& config) {
  layer::ModelParts model;
  Parameters params;
  const auto embedding = add_embedding(config.ends(), "model.embed_tokens.weight", params, model);
  const auto rope = std::make_shared<RopeTable>(config);
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const auto ids = add_block(params, config, i);
    model.units.push_back({"block " + std::to_string(i), ids});
    model.layers.push_back(std::make_unique<BlockLayer>(config, static_cast<int>(i), ids, rope));
  }
  add_head(config.ends(), "model.norm.weight", embedding, params, model);
  model.params = params.take();
  return model;
}

namespace {

std::int64_t block_matrices(const Qwen3Config& c) {
  return c.hidden * (c.heads + 2 * c.kv_heads) * c.head_dim + c.heads * c.head_dim * c.hidden +
         3 * c.hidden * c.ffn;
}

}  // namespace

std::int64_t num_params(const Qwen3Config& c) {
  const auto block = block_matrices(c) + 2 * c.hidden + 2 * c.head_dim;
  return c.layers * block + c.hidden + c.vocab * c.hidden * (c.tied ? 1 : 2);
}

double train_flops_per_token(const Qwen3Config& c, std::int64_t sequence) {
  const auto matmul = c.layers * block_matrices(c) + c.vocab * c.hidden;
  const auto attention = c.layers * c.heads * c.head_dim * sequence;
  return 6.0 * static_cast<double>(matmul) + 6.0 * static_cast<double>(attention);
}

namespace {

struct NamedShape {
  const char* name;
  Qwen3Config config;
};

/// Source: config.json of the published models.
const std::vector<NamedShape>& shapes() {
  static const std::vector<NamedShape> kShapes{{"Qwen3-0.6B",
                                                {.hidden = 1024,
                                                 .layers = 28,
                                                 .heads = 16,
                                                 .kv_heads = 8,
                                                 .ffn = 3072,
                                                 .vocab = 151936,
                                                 .max_position = 40960,
                                                 .tied = true}},
                                               {"Qwen3-1.7B",
                                                {.hidden = 2048,
                                                 .layers = 28,
                                                 .heads = 16,
                                                 .kv_heads = 8,
                                                 .ffn = 6144,
                                                 .vocab = 151936,
                                                 .max_position = 40960,
                                                 .tied = true}},
                                               {"Qwen3-4B",
                                                {.hidden = 2560,
                                                 .layers = 36,
                                                 .heads = 32,
                                                 .kv_heads = 8,
                                                 .ffn = 9728,
                                                 .vocab = 151936,
                                                 .max_position = 40960,
                                                 .tied = true}},
                                               {"Qwen3-8B",
                                                {.hidden = 4096,
                                                 .layers = 36,
                                                 .heads = 32,
                                                 .kv_heads = 8,
                                                 .ffn = 12288,
                                                 .vocab = 151936,
                                                 .max_position = 40960}},
                                               {"Qwen3-14B",
                                                {.hidden = 5120,
                                                 .layers = 40,
                                                 .heads = 40,
                                                 .kv_heads = 8,
                                                 .ffn = 17408,
                                                 .vocab = 151936,
                                                 .max_position = 40960}},
                                               {"Qwen3-32B",
                                                {.hidden = 5120,
                                                 .layers = 64,
                                                 .heads = 64,
                                                 .kv_heads = 8,
                                                 .ffn = 25600,
                                                 .vocab = 151936,
                                                 .max_position = 40960}}};
  return kShapes;
}

}  // namespace

std::optional<Qwen3Config> named_shape(const std::string& name) {
  for (const auto& shape : shapes()) {
    if (name == shape.name) return shape.config;
  }
  return {};
}

std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const auto& shape : shapes()) names.emplace_back(shape.name);
  return names;
}

}  // namespace zt::model
