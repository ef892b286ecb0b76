#include "kernels/attention/attention.h"

#include <algorithm>

#include "kernels/attention/attention_cudnn.h"
#include "kernels/attention/attention_impl.h"

namespace zt::kernels {
namespace {

void check(const AttentionShape& shape, const at::Tensor& q, const at::Tensor& k) {
  ZT_ASSERT(q.dim() == 4 && q.size(0) == shape.batch && q.size(1) == shape.sequence &&
                q.size(2) == shape.q_heads && q.size(3) == shape.head_dim &&
                k.size(2) == shape.kv_heads && shape.q_heads % shape.kv_heads == 0,
            "attention shapes");
}

}  // namespace

void attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const at::Tensor& cu_seqlens, const at::Tensor& out,
                       const at::Tensor& log_sum_exp, const AttentionShape& shape,
                       bool deterministic, const Launch& launch) {
  check(shape, q, k);
  switch (launch.device) {
    case Device::cpu:
      return attention_forward_cpu(q, k, v, cu_seqlens, out, log_sum_exp, shape);
    case Device::cuda:
      return attention_forward_cuda(q, k, v, cu_seqlens, out, log_sum_exp, shape, deterministic,
                                    launch.stream);
  }
}

AttentionGrads attention_backward(const AttentionBackward& io, const AttentionShape& shape,
                                  bool deterministic, const Launch& launch) {
  check(shape, io.q, io.k);
  if (launch.device == Device::cuda) {
    return attention_backward_cuda(io, shape, deterministic, launch.stream);
  }
  attention_backward_cpu(io, shape);
  return {io.grad_q, io.grad_k, io.grad_v};
}

Bytes attention_library(const AttentionShape& shape, DType compute, Device device,
                        bool deterministic) {
  const auto tokens = shape.batch * shape.sequence;
  const auto q = tokens * shape.q_heads * shape.head_dim;
  // Outputs without out=: out or grad_q and the expanded grad_k and grad_v. Flash sums grad_q in
  // fp32, in deterministic mode in as many copies as fill the multiprocessors.
  constexpr std::int64_t kMultiprocessors = 160;
  const auto programs = shape.batch * shape.q_heads;
  const auto copies = std::max<std::int64_t>(2, (kMultiprocessors + programs - 1) / programs);
  // fp16 on the CPU: the operands are widened, and everything the library makes is fp32.
  const bool widened = device == Device::cpu && compute == DType::f16;
  const auto results = storage({(widened ? 9 : 4) * q}, widened ? DType::f32 : compute);
  const auto accumulators = storage({(device == Device::cpu ? 2 : copies) * q}, DType::f32);
  const auto expanded = device == Device::cpu || compute == DType::f32
                            ? storage({2 * q}, widened ? DType::f32 : compute)
                            : Bytes{};
  const bool scores = deterministic && device == Device::cuda && compute != DType::f32 &&
                      attention_cudnn_available() && shape.sequence <= kMaxCudnnScores;
  const auto grad_scores =
      scores ? storage({shape.batch * shape.q_heads * shape.sequence * shape.sequence}, compute)
             : Bytes{};
  return results + accumulators + expanded + grad_scores;
}

}  // namespace zt::kernels
