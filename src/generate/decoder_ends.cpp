#include "generate/decoder_ends.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "kernels/embedding/embedding.h"
#include "kernels/gemm/gemm.h"
#include "kernels/rms_norm/rms_norm.h"
#include "layer/tensor_view.h"

namespace zt::generate {

using layer::view_of;

DecoderEnds::DecoderEnds(const model::EndsConfig& config, const layer::ModelParts& model,
                         const Weights& weights)
    : config_(config) {
  embedding_ = weights.of(*model.layers.front()).front();
  const auto head = weights.of(*model.layers.back());
  norm_ = head.at(0);
  head_ = head.at(1);
}

at::Tensor DecoderEnds::embed(const at::Tensor& ids, const Launch& launch) const {
  const auto rows = at::empty({ids.numel(), config_.hidden}, embedding_.options());
  kernels::embedding_forward(view_of(ids), view_of(embedding_), view_of(rows), config_.vocab,
                             config_.hidden, launch);
  return config_.fp32_residual ? rows.to(at::kFloat) : rows;
}

at::Tensor DecoderEnds::logits(const at::Tensor& x, const Launch& launch) const {
  const auto normed = at::empty(x.sizes(), embedding_.options());
  kernels::rms_norm_forward({.x = view_of(x), .weight = view_of(norm_), .y = view_of(normed)},
                            {x.size(0), config_.hidden, static_cast<float>(config_.rms_epsilon)},
                            launch);
  const auto result = at::empty({x.size(0), config_.vocab}, embedding_.options());
  kernels::linear_forward(normed, head_, result);
  return result;
}

at::Tensor index_tensor(const std::vector<std::int64_t>& values, const at::TensorOptions& like) {
  const auto host = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), host.data_ptr<std::int64_t>());
  return host.to(like.device());
}

}  // namespace zt::generate
