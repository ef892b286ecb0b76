#include "kernels/adamw/adamw.h"

#include <cmath>
#include <cstring>

#include "kernels/adamw/adamw_impl.h"

namespace zt::kernels {

AdamWScalars make_adamw_scalars(const AdamWParams& params) {
  ZT_ASSERT(params.step >= 1, "the first AdamW step is step 1");
  const double steps = static_cast<double>(params.step);
  const double bias1 = params.bias_correction ? 1.0 - std::pow(params.beta1, steps) : 1.0;
  const double bias2 = params.bias_correction ? 1.0 - std::pow(params.beta2, steps) : 1.0;
  AdamWScalars scalars;
  scalars.beta1 = static_cast<float>(params.beta1);
  scalars.one_minus_beta1 = static_cast<float>(1.0 - params.beta1);
  scalars.beta2 = static_cast<float>(params.beta2);
  scalars.one_minus_beta2 = static_cast<float>(1.0 - params.beta2);
  scalars.epsilon = static_cast<float>(params.epsilon);
  scalars.weight_decay = static_cast<float>(params.weight_decay);
  scalars.decay_factor = static_cast<float>(1.0 - params.learning_rate * params.weight_decay);
  scalars.step_size = static_cast<float>(params.learning_rate / bias1);
  scalars.inv_sqrt_bias2 = static_cast<float>(1.0 / std::sqrt(bias2));
  scalars.l2 = params.l2 ? 1 : 0;
  scalars.step = static_cast<std::uint32_t>(params.step) & 0x7fffffffU;
  return scalars;
}

static_assert(sizeof(AdamWScalars) == kAdamWScalarBytes);

void write_adamw_scalars(const AdamWParams& params, std::byte* to) {
  const AdamWScalars scalars = make_adamw_scalars(params);
  std::memcpy(to, &scalars, sizeof(scalars));
}

namespace {

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

void check(const AdamWSpans& spans, const View& grad_factor, Device device) {
  const std::int64_t numel = spans.master.numel;
  const DType moments = spans.exp_avg.dtype;
  ZT_ASSERT(spans.master.dtype == DType::f32, "adamw masters are fp32");
  ZT_ASSERT(moments == DType::f32 || (moments == DType::bf16 && device == Device::cpu),
            "adamw moments are fp32; on the CPU also bf16");
  for (const View* view : {&spans.exp_avg, &spans.exp_avg_sq}) {
    ZT_ASSERT(view->dtype == moments, "adamw moments differ in type");
    ZT_ASSERT(view->numel == numel, "adamw spans differ in length");
  }
  ZT_ASSERT(spans.grad.numel == numel, "adamw spans differ in length");
  ZT_ASSERT(is_float(spans.grad.dtype), "adamw gradients are fp32, bf16 or fp16");
  ZT_ASSERT(spans.param.numel == numel, "adamw param differs from master in length");
  ZT_ASSERT(is_float(spans.param.dtype), "adamw param is fp32, bf16 or fp16");
  ZT_ASSERT(grad_factor.dtype == DType::f32 && grad_factor.numel == 1, "grad_factor is one fp32");
}

}  // namespace

void adamw(const AdamWSpans& spans, const AdamWParams& params, const View& grad_factor,
           const Launch& launch) {
  check(spans, grad_factor, launch.device);
  if (spans.master.numel == 0) {
    return;
  }
  const AdamWScalars scalars = make_adamw_scalars(params);
  switch (launch.device) {
    case Device::cpu:
      return adamw_cpu(spans, scalars, grad_factor, launch.pool);
    case Device::cuda:
      return adamw_cuda(spans, scalars, nullptr, grad_factor, launch.stream);
  }
}

void adamw(const AdamWSpans& spans, const View& scalars, bool l2, const View& grad_factor,
           const Launch& launch) {
  check(spans, grad_factor, launch.device);
  ZT_ASSERT(scalars.bytes().value == kAdamWScalarBytes, "adamw scalars of another size");
  if (spans.master.numel == 0) {
    return;
  }
  AdamWScalars values;
  switch (launch.device) {
    case Device::cpu:
      std::memcpy(&values, scalars.data, sizeof(values));
      ZT_ASSERT((values.l2 != 0) == l2, "adamw scalars of the other kind of decay");
      return adamw_cpu(spans, values, grad_factor, launch.pool);
    case Device::cuda:
      values.l2 = l2 ? 1 : 0;
      return adamw_cuda(spans, values, scalars.data, grad_factor, launch.stream);
  }
}

}  // namespace zt::kernels
