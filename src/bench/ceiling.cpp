// Shape legend: N tokens (B x T), h hidden, q = heads x head_dim, F ffn, V vocabulary.
#include "bench/ceiling.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/normal.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "bench/stopwatch.h"
#include "kernels/attention/attention.h"
#include "kernels/gemm/gemm.h"
#include "memory/arena.h"
#include "memory/queues.h"
#include "memory/torch_dtype.h"

namespace zt::bench {
namespace {

using Calls = std::vector<std::function<void(const Launch&)>>;

constexpr std::int64_t kWeightSets = 4;  ///< more bytes than the L2 holds
constexpr int kRepeats = 10;

/// Makes the tensors and lists the calls of one micro-step.
class Step {
 public:
  Step(const model::Qwen3Config& model, const zero::EngineOptions& options,
       const zero::RankContext& rank)
      : model_(model), options_(options), cuda_(rank.device == Device::cuda) {
    const auto device = cuda_
                            ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(rank.device_index))
                            : at::Device(at::kCPU);
    compute_ = at::TensorOptions(device).dtype(memory::scalar_type(options.precision.compute));
    const bool boundary = options.zero.reduce_at == ReduceAt::boundary;
    grads_ = compute_.dtype(
        memory::scalar_type(boundary ? options.precision.grad_accum : options.precision.compute));
    list();
  }

  Calls gemms, attentions, all;

 private:
  [[nodiscard]] at::Tensor random(std::vector<std::int64_t> shape) const {
    return at::empty(shape, compute_).normal_(0, 0.02);
  }

  void gemm(std::function<void()> call) {
    auto run = [call = std::move(call)](const Launch&) { call(); };
    gemms.push_back(run);
    all.push_back(run);
  }
  void attend(std::function<void(const Launch&)> call) {
    attentions.push_back(call);
    all.push_back(std::move(call));
  }

  /// One weight [out, in] in several copies, its gradient, and the activations at its two sides.
  struct Matrix {
    std::vector<at::Tensor> weight, grad;
    at::Tensor x, y;
  };
  [[nodiscard]] Matrix matrix(std::int64_t rows, std::int64_t out, std::int64_t in,
                              std::int64_t sets) const {
    Matrix result;
    for (std::int64_t s = 0; s < sets; ++s) {
      result.weight.push_back(random({out, in}));
      result.grad.push_back(at::zeros({out, in}, grads_));
    }
    result.x = random({rows, in});
    result.y = random({rows, out});
    return result;
  }

  void forward(const Matrix& matrix, std::int64_t layer) {
    const auto set = static_cast<std::size_t>(layer) % matrix.weight.size();
    gemm(
        [x = matrix.x, w = matrix.weight[set], y = matrix.y] { kernels::linear_forward(x, w, y); });
  }
  void backward(const Matrix& matrix, std::int64_t layer) {
    const auto set = static_cast<std::size_t>(layer) % matrix.weight.size();
    gemm([x = matrix.x, w = matrix.weight[set], y = matrix.y] {
      kernels::linear_backward_input(y, w, x, false);
    });
    gemm([x = matrix.x, g = matrix.grad[set], y = matrix.y] {
      kernels::linear_backward_weight(y, x, g);
    });
  }

  void list();
  void attention_forward();
  void attention_backward();

  const model::Qwen3Config& model_;
  const zero::EngineOptions& options_;
  bool cuda_;
  at::TensorOptions compute_, grads_;
  kernels::AttentionShape shape_;
  kernels::AttentionBackward attention_;  ///< what both directions work on
};

at::Tensor heads_first(const at::Tensor& tensor) { return tensor.transpose(1, 2); }

void Step::attention_forward() {
  if (!cuda_ || options_.zero.deterministic || options_.precision.compute == DType::f32) {
    attend([this](const Launch& launch) {
      const auto& a = attention_;
      kernels::attention_forward(a.q, a.k, a.v, {}, a.out, a.log_sum_exp, shape_,
                                 options_.zero.deterministic, launch);
    });
    return;
  }
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape_.head_dim));
  attend([this, scale](const Launch&) {
    const auto& a = attention_;
    (void)at::_scaled_dot_product_cudnn_attention(
        heads_first(a.q), heads_first(a.k), heads_first(a.v), {}, true, 0.0, true, false, scale);
  });
}

void Step::attention_backward() {
  if (!cuda_ || options_.zero.deterministic || options_.precision.compute == DType::f32) {
    attend([this](const Launch& launch) {
      kernels::attention_backward(attention_, shape_, options_.zero.deterministic, launch);
    });
    return;
  }
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape_.head_dim));
  const auto no_rng = at::empty({}, attention_.q.options().dtype(at::kLong));
  attend([this, scale, no_rng](const Launch&) {
    const auto& a = attention_;
    (void)at::_scaled_dot_product_cudnn_attention_backward(
        heads_first(a.grad_out), heads_first(a.q), heads_first(a.k), heads_first(a.v),
        heads_first(a.out), a.log_sum_exp.unsqueeze(-1), no_rng, no_rng, {}, {}, {},
        shape_.sequence, shape_.sequence, 0.0, true, scale);
  });
}

void Step::list() {
  const auto& shape = options_.shape;
  const auto N = shape.tokens(), h = model_.hidden, F = model_.ffn, V = model_.vocab;
  const auto q = model_.heads * model_.head_dim, kv = model_.kv_heads * model_.head_dim;
  const auto sets = std::min(kWeightSets, model_.layers);
  const auto qkv = matrix(N, q + 2 * kv, h, sets), o = matrix(N, h, q, sets);
  const auto gate_up = matrix(N, 2 * F, h, sets), down = matrix(N, h, F, sets);
  shape_ = {shape.batch, shape.sequence, model_.heads, model_.kv_heads, model_.head_dim};
  const auto heads = [&](std::int64_t count) {
    return random({shape.batch, shape.sequence, count, model_.head_dim});
  };
  auto& a = attention_;
  a.q = heads(model_.heads), a.out = heads(model_.heads), a.grad_out = heads(model_.heads);
  a.k = heads(model_.kv_heads), a.v = heads(model_.kv_heads);
  a.grad_q = heads(model_.heads), a.grad_k = heads(model_.kv_heads),
  a.grad_v = heads(model_.kv_heads);
  a.log_sum_exp =
      at::zeros({shape.batch, model_.heads, shape.sequence}, compute_.dtype(at::kFloat)).add_(5);
  const auto forward_of = [&](std::int64_t layer, bool whole) {
    forward(qkv, layer);
    attention_forward();
    forward(o, layer);
    forward(gate_up, layer);
    if (whole) forward(down, layer);
  };
  const auto recompute = options_.zero.recompute.value_or(Recompute::none);
  for (std::int64_t layer = 0; layer < model_.layers; ++layer) forward_of(layer, true);
  constexpr std::int64_t kHeadChunk = 2048;
  const auto chunk = std::min(kHeadChunk, N);
  const auto head = matrix(chunk, V, h, 1);
  for (std::int64_t begin = 0; begin < N; begin += chunk) {
    forward(head, 0);
    backward(head, 0);
  }
  for (std::int64_t layer = model_.layers; layer-- > 0;) {
    if (recompute == Recompute::full) forward_of(layer, false);
    if (recompute == Recompute::selective) forward(gate_up, layer);
    backward(down, layer);
    backward(gate_up, layer);
    backward(o, layer);
    attention_backward();
    backward(qkv, layer);
  }
}

/// Seconds of one run of the calls.
double seconds_of(const Calls& calls, memory::Queues& queues) {
  const auto all = [&](const Launch& launch) {
    for (const auto& call : calls) call(launch);
  };
  return queues.can_capture() ? graph_seconds(queues, all, kRepeats)
                              : stream_seconds(queues, all, 1);
}

}  // namespace

Ceiling measure_ceiling(const model::Qwen3Config& model, const zero::EngineOptions& options,
                        const zero::RankContext& rank) {
  const at::AutoDispatchBelowAutograd below_autograd;
  const bool cuda = rank.device == Device::cuda;
  memory::set_device(rank.device, rank.device_index);
  const auto queues =
      cuda ? memory::make_cuda_queues(rank.device_index) : memory::make_cpu_queues();
  const Step step(model, options, rank);
  queues->synchronize();
  return {seconds_of(step.all, *queues), seconds_of(step.gemms, *queues),
          seconds_of(step.attentions, *queues)};
}

}  // namespace zt::bench
