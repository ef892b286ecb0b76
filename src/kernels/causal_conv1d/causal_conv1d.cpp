#include "kernels/causal_conv1d/causal_conv1d.h"

#include "kernels/causal_conv1d/causal_conv1d_impl.h"

namespace zt::kernels {
namespace {

void check(const TokenMatrix& operand, const ConvShape& shape, DType dtype) {
  ZT_ASSERT(
      operand.holds(shape.batch * shape.sequence, shape.channels) && operand.view.dtype == dtype,
      "causal_conv1d operand of a wrong size or dtype");
}

void check_parameter(const View& view, std::int64_t numel) {
  ZT_ASSERT(view.numel == numel &&
                (view.dtype == DType::f32 || view.dtype == DType::bf16 || view.dtype == DType::f16),
            "causal_conv1d parameter of a wrong size or dtype");
}
void check_optional_parameter(const View& view, std::int64_t numel) {
  if (view.numel > 0) check_parameter(view, numel);
}

void check_inputs(const ConvInputs& in, const ConvShape& shape) {
  ZT_ASSERT(shape.width >= 1 && shape.width <= kConvMaxWidth,
            "causal_conv1d takes a width of 1 to 8");
  check(in.x, shape, in.x.view.dtype);
  check_parameter(in.weight, shape.channels * shape.width);
  check_optional_parameter(in.bias, shape.channels);
  if (in.positions.numel > 0) {
    ZT_ASSERT(
        in.positions.numel == shape.batch * shape.sequence && in.positions.dtype == DType::i64,
        "causal_conv1d positions are int64, one per token");
  }
}

void check_history(const View& view, const ConvShape& shape, DType dtype) {
  if (view.numel > 0) {
    ZT_ASSERT(view.numel == shape.batch * (shape.width - 1) * shape.channels && view.dtype == dtype,
              "causal_conv1d history is [B x K-1 x D] of x's dtype");
  }
}

bool is_empty(const ConvShape& shape) {
  return shape.batch == 0 || shape.sequence == 0 || shape.channels == 0;
}

}  // namespace

std::int64_t conv_workspace(const ConvShape& shape) {
  return conv_shares(shape) * shape.channels * (shape.width + 1);
}

void causal_conv1d_forward(const ConvForward& io, const ConvShape& shape, const Launch& launch) {
  check_inputs(io.in, shape);
  const DType dtype = io.in.x.view.dtype;
  check(io.y, shape, dtype);
  check_history(io.initial_inputs, shape, dtype);
  check_history(io.final_inputs, shape, dtype);
  if (is_empty(shape)) return;
  switch (launch.device) {
    case Device::cpu:
      return causal_conv1d_forward_cpu(io, shape);
    case Device::cuda:
      return causal_conv1d_forward_cuda(io, shape, launch.stream);
  }
}

void causal_conv1d_backward(const ConvBackward& io, const ConvShape& shape, const Launch& launch) {
  check_inputs(io.in, shape);
  check(io.grad_y, shape, io.in.x.view.dtype);
  check(io.grad_x, shape, io.in.x.view.dtype);
  check_optional_parameter(io.grad_weight, shape.channels * shape.width);
  check_optional_parameter(io.grad_bias, shape.channels);
  ZT_ASSERT(io.workspace.dtype == DType::f32 && io.workspace.numel >= conv_workspace(shape),
            "causal_conv1d workspace is too small");
  if (is_empty(shape)) return;
  switch (launch.device) {
    case Device::cpu:
      return causal_conv1d_backward_cpu(io, shape);
    case Device::cuda:
      return causal_conv1d_backward_cuda(io, shape, launch.stream);
  }
}

void causal_conv1d_step(const ConvInputs& in, const TokenMatrix& y, const View& inputs,
                        const ConvShape& shape, const Launch& launch) {
  ZT_ASSERT(in.positions.numel == 0, "a step has no positions");
  ConvShape one = shape;
  one.sequence = 1;
  causal_conv1d_forward({.in = in, .y = y, .initial_inputs = inputs, .final_inputs = inputs}, one,
                        launch);
}

}  // namespace zt::kernels
