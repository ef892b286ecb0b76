#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/qk_norm_rope/qk_norm_rope.h"
#include "layer/layer.h"
#include "model/qwen3.h"

namespace zt::model {

/// Cosines and sines of all positions on the device that asks first; shared by the blocks of a
/// model.
class RopeTable {
 public:
  explicit RopeTable(const Qwen3Config& config) : config_(config) {}
  /// [at least positions, head_dim] fp32 on the device of `like`. Thread-safe.
  at::Tensor get(std::int64_t positions, const at::Tensor& like);

 private:
  Qwen3Config config_;
  std::mutex mutex_;  ///< guards table_
  at::Tensor table_;
};

/// Pre-norm transformer block: attention with QK-norm and RoPE, then SwiGLU.
///
/// Parameters in order: input norm, q, k, v (adjacent), q norm, k norm, o, post-attention norm,
/// gate, up (adjacent), down. Keep::selective keeps qkv, attention output, log-sum-exp and the
/// middle residual, and computes norms, RoPE, gate/up and SwiGLU again.
class BlockLayer final : public layer::Layer {
 public:
  BlockLayer(const Qwen3Config& config, int index, std::vector<layout::ParamId> params,
             std::shared_ptr<RopeTable> rope);
  [[nodiscard]] std::string name() const override;
  [[nodiscard]] const std::vector<layout::ParamId>& params() const override { return params_; }
  [[nodiscard]] layer::TensorSpec output(const layer::BatchShape& shape,
                                         DType compute) const override;
  [[nodiscard]] std::vector<layer::TensorSpec> stash(const layer::BatchShape& shape, DType compute,
                                                     layer::Keep keep) const override;
  [[nodiscard]] std::vector<layer::TensorSpec> forward_scratch(const layer::BatchShape& shape,
                                                               DType compute,
                                                               layer::Keep keep) const override;
  [[nodiscard]] std::vector<layer::TensorSpec> backward_scratch(const layer::BatchShape& shape,
                                                                DType compute,
                                                                layer::Keep keep) const override;
  [[nodiscard]] Bytes library(const layer::BatchShape& shape, DType compute, Device device,
                              bool deterministic) const override;
  [[nodiscard]] double forward_flops(const layer::BatchShape& shape) const override;
  [[nodiscard]] bool capturable() const override { return true; }
  [[nodiscard]] bool can_leave_out_output() const override { return true; }
  void forward(const layer::Context& context, layer::Keep keep,
               const layer::Forward& io) const override;
  void backward(const layer::Context& context, layer::Keep keep,
                const layer::Backward& io) const override;

 private:
  struct Work;
  struct Grads;
  [[nodiscard]] std::vector<layer::TensorSpec> recomputed(const layer::BatchShape& shape,
                                                          DType compute) const;
  [[nodiscard]] std::vector<layer::TensorSpec> grad_specs(const layer::BatchShape& shape,
                                                          DType compute) const;
  void norm_input(const layer::Context& context, const layer::Tensors& params, const at::Tensor& x,
                  const Work& work) const;
  void mlp_inputs(const layer::Context& context, const layer::Tensors& params,
                  const Work& work) const;
  void mlp_backward(const layer::Context& context, const layer::Backward& io, const Work& work,
                    const Grads& grads) const;
  void attention_backward(const layer::Context& context, const layer::Backward& io,
                          const Work& work, const Grads& grads) const;
  [[nodiscard]] kernels::AttentionShape attention_shape(const layer::BatchShape& shape) const;
  [[nodiscard]] kernels::QkNormRopeShape rope_shape(const layer::BatchShape& shape) const;

  Qwen3Config config_;
  int index_;
  std::vector<layout::ParamId> params_;
  std::shared_ptr<RopeTable> rope_;  ///< second owner: the other blocks of the model
};

}  // namespace zt::model
