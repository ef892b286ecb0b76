#pragma once

#include <vector>

#include "kernels/causal_conv1d/causal_conv1d.h"
#include "kernels/selective_scan/selective_scan.h"
#include "layer/layer.h"
#include "model/mamba.h"

namespace zt::model {

/// Pre-norm Mamba-1 block: x + out_proj(scan(conv(in_proj(norm(x))))).
///
/// Parameters in order: norm, in_proj, conv weight, conv bias (when there is one), x_proj, dt_proj
/// weight, out_proj, then those of the fp32 unit: A_log, D, dt_proj bias. The scan restarts at
/// position 0 of every document. Keep::selective keeps the input projection, the scan's states and
/// its small inputs, and computes the norm, the convolution and the time steps again; the scan's
/// output is never kept, its backward gives it again.
/// Source: Mamba (Gu and Dao, 2023), section 3; Hugging Face MambaBlock.
class MambaLayer final : public layer::Layer {
 public:
  MambaLayer(const MambaConfig& config, int index, std::vector<layout::ParamId> params);
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
  /// Views of the parameters, or of their gradients, by what they are.
  struct Named;
  [[nodiscard]] Named named(const layer::Tensors& tensors) const;
  [[nodiscard]] std::vector<layer::TensorSpec> recomputed(const layer::BatchShape& shape,
                                                          DType compute) const;
  void norm_input(const layer::Context& context, const Named& params, const at::Tensor& x,
                  const Work& work) const;
  void convolve(const layer::Context& context, const Named& params, const Work& work) const;
  void scan_backward(const layer::Context& context, const Named& params, const Named& grads,
                     const Work& work, const Grads& scratch) const;
  void inner_backward(const layer::Context& context, const Named& params, const Named& grads,
                      const Work& work, const Grads& scratch) const;
  [[nodiscard]] kernels::ScanShape scan_shape(const layer::BatchShape& shape) const;
  [[nodiscard]] kernels::ConvShape conv_shape(const layer::BatchShape& shape) const;
  [[nodiscard]] kernels::ScanInputs scan_inputs(const layer::Context& context, const Named& params,
                                                const Work& work) const;

  MambaConfig config_;
  int index_;
  std::vector<layout::ParamId> params_;
};

}  // namespace zt::model
