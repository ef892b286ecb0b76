#include <ATen/Context.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <ATen/ops/_efficient_attention_backward.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sum.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cmath>

#include "kernels/attention/attention_cudnn.h"
#include "kernels/attention/attention_impl.h"

namespace zt::kernels {
namespace {

// Three library kernels, all on the layout [B, T, H, D]:
//   cuDNN      16 bit, Hopper and later, one causal mask per sequence; its forward adds nothing up
//              across blocks and gives the same bits every time, its backward only on request
//              (attention_cudnn.h: Hopper, up to kMaxCudnnScores tokens);
//   flash      16 bit, everything else, documents included; deterministic on request;
//   efficient  fp32 and head sizes that flash refuses, with expanded key and value heads.
// They share the natural-log log-sum-exp, so forward and backward need not choose alike.
enum class Library { cudnn, flash, efficient };

constexpr std::int64_t kCausalFromTopLeft = 1;  ///< custom_mask_type of the efficient kernels
constexpr std::int64_t kLseAlignment = 32;      ///< rows of their log-sum-exp are padded to this
constexpr std::int64_t kMinCudnnSequence = 128;

Library choose(const at::Tensor& q, const AttentionShape& shape, bool documents,
               bool deterministic) {
  const auto* device = at::cuda::getCurrentDeviceProperties();
  const bool half = q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf;
  if (!half || device->major < 8 || shape.head_dim % 8 != 0 || shape.head_dim > 256) {
    return Library::efficient;
  }
  const bool cudnn = !deterministic && !documents && device->major >= 9 && shape.head_dim <= 128 &&
                     shape.sequence >= kMinCudnnSequence;
  return cudnn ? Library::cudnn : Library::flash;
}

/// Sets ATen's process-wide deterministic switch for one call. Memory filling stays off: it would
/// write NaN over every fresh tensor.
class DeterministicScope {
 public:
  explicit DeterministicScope(bool on)
      : context_(at::globalContext()),
        algorithms_(context_.deterministicAlgorithms()),
        warn_only_(context_.deterministicAlgorithmsWarnOnly()),
        fill_(context_.deterministicFillUninitializedMemory()) {
    if (on) {
      // Warning only would leave the flash backward non-deterministic.
      context_.setDeterministicAlgorithms(true, /*warn_only=*/false);
      context_.setDeterministicFillUninitializedMemory(false);
    }
  }
  ~DeterministicScope() {
    context_.setDeterministicAlgorithms(algorithms_, warn_only_);
    context_.setDeterministicFillUninitializedMemory(fill_);
  }
  DeterministicScope(const DeterministicScope&) = delete;
  DeterministicScope& operator=(const DeterministicScope&) = delete;

 private:
  at::Context& context_;
  bool algorithms_, warn_only_, fill_;
};

/// What every call needs: the caller's stream as ATen's current one, and no autograd.
class CallScope {
 public:
  CallScope(const at::Tensor& q, void* stream, bool deterministic)
      : stream_(c10::cuda::getStreamFromExternal(static_cast<cudaStream_t>(stream),
                                                 q.device().index())),
        deterministic_(deterministic) {}

 private:
  c10::cuda::CUDAStreamGuard stream_;
  at::AutoDispatchBelowAutograd below_autograd_;
  DeterministicScope deterministic_;
};

double softmax_scale(const AttentionShape& shape) {
  return 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
}

/// Starts of the documents on the device, and an upper bound of their lengths.
struct Documents {
  at::Tensor starts;
  std::int64_t longest = 0;
};

Documents to_device(const at::Tensor& cu_seqlens, const at::Tensor& q,
                    const AttentionShape& shape) {
  if (cu_seqlens.is_cuda()) {
    return {cu_seqlens, shape.sequence};
  }
  const auto* starts = cu_seqlens.const_data_ptr<std::int32_t>();
  std::int64_t longest = 1;
  for (std::int64_t i = 1; i < cu_seqlens.numel(); ++i) {
    longest = std::max<std::int64_t>(longest, starts[i] - starts[i - 1]);
  }
  return {cu_seqlens.to(q.device(), /*non_blocking=*/true), longest};
}

/// [B, T, H, D] as [B * T, H, D].
at::Tensor flat(const at::Tensor& tensor) { return tensor.flatten(0, 1); }

/// [H, B * T] as [B, H, T] (a view).
at::Tensor by_sequence(const at::Tensor& flat_lse, const AttentionShape& shape) {
  return flat_lse.view({shape.q_heads, shape.batch, shape.sequence}).permute({1, 0, 2});
}

void flash_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                   const at::Tensor& cu_seqlens, const at::Tensor& out, const at::Tensor& lse,
                   const AttentionShape& shape) {
  const double scale = softmax_scale(shape);
  if (!cu_seqlens.defined()) {
    const auto result =
        at::_flash_attention_forward(q, k, v, {}, {}, shape.sequence, shape.sequence, 0.0,
                                     /*is_causal=*/true, /*return_debug_mask=*/false, scale);
    out.copy_(std::get<0>(result));
    lse.copy_(std::get<1>(result));
    return;
  }
  const Documents documents = to_device(cu_seqlens, q, shape);
  const auto result = at::_flash_attention_forward(
      flat(q), flat(k), flat(v), documents.starts, documents.starts, documents.longest,
      documents.longest, 0.0, /*is_causal=*/true, /*return_debug_mask=*/false, scale);
  flat(out).copy_(std::get<0>(result));
  lse.copy_(by_sequence(std::get<1>(result), shape));
}

/// The library's gradients as the caller wants them: copied, or handed over.
AttentionGrads keep(const AttentionBackward& io, const at::Tensor& grad_q, const at::Tensor& grad_k,
                    const at::Tensor& grad_v) {
  if (!io.grad_q.defined()) return {grad_q.contiguous(), grad_k.contiguous(), grad_v.contiguous()};
  io.grad_q.copy_(grad_q);
  io.grad_k.copy_(grad_k);
  io.grad_v.copy_(grad_v);
  return {io.grad_q, io.grad_k, io.grad_v};
}

AttentionGrads flash_backward(const AttentionBackward& io, const AttentionShape& shape) {
  const double scale = softmax_scale(shape);
  const at::Tensor no_rng = at::empty({2}, io.q.options().dtype(at::kLong));
  if (!io.cu_seqlens.defined()) {
    const auto grads = at::_flash_attention_backward(
        io.grad_out, io.q, io.k, io.v, io.out, io.log_sum_exp, {}, {}, shape.sequence,
        shape.sequence, 0.0, /*is_causal=*/true, no_rng, no_rng, scale);
    return keep(io, std::get<0>(grads), std::get<1>(grads), std::get<2>(grads));
  }
  const Documents documents = to_device(io.cu_seqlens, io.q, shape);
  const at::Tensor lse = io.log_sum_exp.permute({1, 0, 2}).contiguous().flatten(1, 2);
  const auto grads = at::_flash_attention_backward(
      flat(io.grad_out), flat(io.q), flat(io.k), flat(io.v), flat(io.out), lse, documents.starts,
      documents.starts, documents.longest, documents.longest, 0.0, /*is_causal=*/true, no_rng,
      no_rng, scale);
  return keep(io, std::get<0>(grads).view_as(io.q), std::get<1>(grads).view_as(io.k),
              std::get<2>(grads).view_as(io.v));
}

/// cuDNN names its axes [B, H, T, D]; the strides stay those of [B, T, H, D].
at::Tensor heads_first(const at::Tensor& tensor) { return tensor.transpose(1, 2); }

void cudnn_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                   const at::Tensor& out, const at::Tensor& lse, const AttentionShape& shape) {
  const auto result = at::_scaled_dot_product_cudnn_attention(
      heads_first(q), heads_first(k), heads_first(v), {}, /*compute_log_sumexp=*/true, 0.0,
      /*is_causal=*/true, /*return_debug_mask=*/false, softmax_scale(shape));
  heads_first(out).copy_(std::get<0>(result));
  lse.copy_(std::get<1>(result).view_as(lse));
}

AttentionGrads cudnn_backward(const AttentionBackward& io, const AttentionShape& shape) {
  const at::Tensor no_rng = at::empty({}, io.q.options().dtype(at::kLong));
  const auto grads = at::_scaled_dot_product_cudnn_attention_backward(
      heads_first(io.grad_out), heads_first(io.q), heads_first(io.k), heads_first(io.v),
      heads_first(io.out), io.log_sum_exp.unsqueeze(-1), no_rng, no_rng, {}, {}, {}, shape.sequence,
      shape.sequence, 0.0, /*is_causal=*/true, softmax_scale(shape));
  // The first two axes change places on the way back too.
  return keep(io, heads_first(std::get<0>(grads)), heads_first(std::get<1>(grads)),
              heads_first(std::get<2>(grads)));
}

/// [B, T, Hkv, D] with each head repeated for the query heads that share it.
at::Tensor expand_heads(const at::Tensor& kv, const AttentionShape& shape) {
  const std::int64_t group = shape.q_heads / shape.kv_heads;
  if (group == 1) {
    return kv;
  }
  return kv.unsqueeze(3)
      .expand({kv.size(0), kv.size(1), shape.kv_heads, group, shape.head_dim})
      .reshape({kv.size(0), kv.size(1), shape.q_heads, shape.head_dim});
}

/// Sums the gradients of the repeated heads, in the order of the query heads.
void fold_heads(const at::Tensor& expanded, const at::Tensor& grad, const AttentionShape& shape) {
  const std::int64_t group = shape.q_heads / shape.kv_heads;
  if (group == 1) {
    grad.copy_(expanded);
    return;
  }
  grad.copy_(expanded.unflatten(2, {shape.kv_heads, group}).sum(3, /*keepdim=*/false, at::kFloat));
}

/// One causal range [B, T] of queries; `lse` is [B, Hq, T].
void efficient_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const at::Tensor& out, const at::Tensor& lse, const AttentionShape& shape) {
  const auto result = at::_efficient_attention_forward(
      q, expand_heads(k, shape), expand_heads(v, shape), {}, {}, {}, {}, {}, 0.0,
      kCausalFromTopLeft, /*compute_log_sumexp=*/true, softmax_scale(shape));
  out.copy_(std::get<0>(result));
  lse.copy_(std::get<1>(result).narrow(2, 0, q.size(1)));
}

void efficient_backward(const AttentionBackward& io, const AttentionShape& shape) {
  const std::int64_t length = io.q.size(1);
  // The padding must make exp(score - lse) vanish.
  const at::Tensor lse = at::full({io.q.size(0), shape.q_heads, round_up(length, kLseAlignment)},
                                  std::numeric_limits<float>::infinity(), io.log_sum_exp.options());
  lse.narrow(2, 0, length).copy_(io.log_sum_exp);
  const at::Tensor no_rng = at::empty({}, io.q.options().dtype(at::kLong));
  const auto grads = at::_efficient_attention_backward(
      io.grad_out, io.q, expand_heads(io.k, shape), expand_heads(io.v, shape), {}, io.out, {}, {},
      length, length, lse, 0.0, no_rng, no_rng, kCausalFromTopLeft, /*bias_requires_grad=*/false,
      softmax_scale(shape), /*num_splits_key=*/1);
  io.grad_q.copy_(std::get<0>(grads));
  fold_heads(std::get<1>(grads), io.grad_k, shape);
  fold_heads(std::get<2>(grads), io.grad_v, shape);
}

/// Calls `body(begin, length)` for each document that is not empty. Blocks the host when the starts
/// lie on the device; only the efficient kernels, which take no part in graphs, come here.
template <typename Body>
void for_each_document(const at::Tensor& cu_seqlens, Body body) {
  const at::Tensor starts = cu_seqlens.cpu();
  const auto* at = starts.const_data_ptr<std::int32_t>();
  for (std::int64_t i = 1; i < starts.numel(); ++i) {
    if (at[i] > at[i - 1]) {
      body(at[i - 1], at[i] - at[i - 1]);
    }
  }
}

/// The tokens [begin, begin + length) of the flattened batch as [1, length, H, D].
at::Tensor document(const at::Tensor& tensor, std::int64_t begin, std::int64_t length) {
  return flat(tensor).narrow(0, begin, length).unsqueeze(0);
}

}  // namespace

void attention_forward_cuda(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& cu_seqlens, const at::Tensor& out,
                            const at::Tensor& log_sum_exp, const AttentionShape& shape,
                            bool deterministic, void* stream) {
  const auto library = choose(q, shape, cu_seqlens.defined(), /*deterministic=*/false);
  const CallScope scope(q, stream, deterministic && library != Library::cudnn);
  switch (library) {
    case Library::cudnn:
      return cudnn_forward(q, k, v, out, log_sum_exp, shape);
    case Library::flash:
      return flash_forward(q, k, v, cu_seqlens, out, log_sum_exp, shape);
    case Library::efficient:
      break;
  }
  if (!cu_seqlens.defined()) {
    return efficient_forward(q, k, v, out, log_sum_exp, shape);
  }
  const at::Tensor lse =
      at::empty({1, shape.q_heads, shape.batch * shape.sequence}, log_sum_exp.options());
  for_each_document(cu_seqlens, [&](std::int64_t begin, std::int64_t length) {
    efficient_forward(document(q, begin, length), document(k, begin, length),
                      document(v, begin, length), document(out, begin, length),
                      lse.narrow(2, begin, length), shape);
  });
  log_sum_exp.copy_(by_sequence(lse.squeeze(0), shape));
}

AttentionGrads attention_backward_cuda(const AttentionBackward& given, const AttentionShape& shape,
                                       bool deterministic, void* stream) {
  const CallScope scope(given.q, stream, deterministic);
  const bool documents = given.cu_seqlens.defined();
  if (deterministic && choose(given.q, shape, documents, false) == Library::cudnn &&
      at::cuda::getCurrentDeviceProperties()->major == 9 && shape.sequence <= kMaxCudnnScores) {
    if (const auto grads = attention_cudnn_backward(given, shape)) return *grads;
  }
  switch (choose(given.q, shape, documents, deterministic)) {
    case Library::cudnn:
      return cudnn_backward(given, shape);
    case Library::flash:
      return flash_backward(given, shape);
    case Library::efficient:
      break;
  }
  AttentionBackward io = given;
  if (!io.grad_q.defined()) {
    io.grad_q = at::empty_like(io.q);
    io.grad_k = at::empty_like(io.k);
    io.grad_v = at::empty_like(io.v);
  }
  const AttentionGrads grads{io.grad_q, io.grad_k, io.grad_v};
  if (!io.cu_seqlens.defined()) {
    efficient_backward(io, shape);
    return grads;
  }
  const at::Tensor lse = io.log_sum_exp.permute({1, 0, 2}).contiguous().flatten(1, 2).unsqueeze(0);
  for_each_document(io.cu_seqlens, [&](std::int64_t begin, std::int64_t length) {
    const auto part = [&](const at::Tensor& tensor) { return document(tensor, begin, length); };
    efficient_backward({part(io.q), part(io.k), part(io.v), at::Tensor(), part(io.out),
                        lse.narrow(2, begin, length), part(io.grad_out), part(io.grad_q),
                        part(io.grad_k), part(io.grad_v)},
                       shape);
  });
  return grads;
}

}  // namespace zt::kernels
