// Shape legend: N rows, h hidden, F ffn, V vocabulary, H query heads, Hkv key/value heads, D their
// width.
#include "bench/calibrate_kernels.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/normal.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/zeros.h>

#include "bench/stopwatch.h"
#include "kernels/adamw/adamw.h"
#include "kernels/cast/cast.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/embedding/embedding.h"
#include "kernels/grad_norm/grad_norm.h"
#include "kernels/ordered_sum/ordered_sum.h"
#include "kernels/qk_norm_rope/qk_norm_rope.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/swiglu/swiglu.h"
#include "layer/tensor_view.h"
#include "model/qwen3.h"
#include "plan/kernel_work.h"

namespace zt::bench {
namespace {

using layer::view_of;

constexpr double kHalfBytes = 2;
constexpr int kSequence = 512;

class Kernels {
 public:
  Kernels(memory::Queues& queues, int index)
      : queues_(queues),
        options_(at::TensorOptions(at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index)))
                     .dtype(at::kBFloat16)) {}

  std::vector<plan::KernelTime> run() {
    for (const char* name : {"Qwen3-0.6B", "Qwen3-8B"}) {
      const auto model = model::named_shape(name).value();
      for (const std::int64_t rows : {512, 2048, 8192, 16384}) {
        norms(rows, model.hidden);
        heads(rows, model);
        swiglu(rows, model.ffn);
        embedding(rows, model);
      }
    }
    const auto vocab = model::named_shape("Qwen3-0.6B").value().vocab;
    for (const std::int64_t rows : {512, 2048}) cross_entropy(rows, vocab);
    for (const std::int64_t numel : {1LL << 20, 1LL << 23, 1LL << 27}) flat(numel);
    return std::move(times_);
  }

 private:
  [[nodiscard]] at::Tensor random(std::vector<std::int64_t> shape) const {
    return at::empty(shape, options_).normal_(0, 0.5);
  }
  [[nodiscard]] at::Tensor floats(std::int64_t numel) const {
    return at::zeros({numel}, options_.dtype(at::kFloat)).add_(1e-3);
  }

  /// Small calls are repeated inside of the graph: launching it would count otherwise.
  void measure(const char* name, std::int64_t width, double bytes,
               const std::function<void(const Launch&)>& call) {
    constexpr double kMany = 20, kBytesOfOne = 512e6;
    const int times = static_cast<int>(std::max(1.0, std::min(kMany, kBytesOfOne / bytes)));
    const double seconds = graph_seconds(
        queues_,
        [&](const Launch& launch) {
          for (int i = 0; i < times; ++i) call(launch);
        },
        5);
    times_.push_back({name, width, bytes, seconds / times});
  }
  void measure_rows(const char* name, std::int64_t rows, std::int64_t width, std::int64_t elements,
                    const std::function<void(const Launch&)>& call) {
    measure(name, width, kHalfBytes * static_cast<double>(rows * elements), call);
  }

  void norms(std::int64_t N, std::int64_t h) {
    namespace work = plan::row_elements;
    const kernels::RmsNormShape shape{N, h, 1e-6F};
    const auto x = random({N, h}), residual = random({N, h}), sum = random({N, h}),
               y = random({N, h}), weight = random({h});
    const auto rstd = floats(N), space = floats(kernels::rms_norm_workspace(shape));
    const auto grad_weight = random({h});
    measure_rows(plan::kernel::kRmsNorm, N, h, work::rms_norm(h), [&](const Launch& launch) {
      kernels::rms_norm_forward(
          {.x = view_of(x), .weight = view_of(weight), .y = view_of(y), .rstd = view_of(rstd)},
          shape, launch);
    });
    measure_rows(plan::kernel::kRmsNormResidual, N, h, work::rms_norm_residual(h),
                 [&](const Launch& launch) {
                   kernels::rms_norm_forward({.x = view_of(x),
                                              .residual = view_of(residual),
                                              .sum = view_of(sum),
                                              .weight = view_of(weight),
                                              .y = view_of(y),
                                              .rstd = view_of(rstd)},
                                             shape, launch);
                 });
    measure_rows(plan::kernel::kRmsNormBackward, N, h, work::rms_norm_backward(h),
                 [&](const Launch& launch) {
                   kernels::rms_norm_backward({.x = view_of(x),
                                               .weight = view_of(weight),
                                               .rstd = view_of(rstd),
                                               .grad_y = view_of(y),
                                               .grad_residual = view_of(residual),
                                               .grad_x = view_of(sum),
                                               .grad_weight = view_of(grad_weight),
                                               .workspace = view_of(space)},
                                              shape, launch);
                 });
  }

  void heads(std::int64_t N, const model::Qwen3Config& model) {
    const auto H = model.heads, Hkv = model.kv_heads, D = model.head_dim;
    const auto width = (H + 2 * Hkv) * D;
    const kernels::QkNormRopeShape shape{N / kSequence, kSequence, H, Hkv, D, true, 1e-6F};
    const auto qkv = random({N, width}), grad_qkv = random({N, width}), q = random({N, H * D}),
               k = random({N, Hkv * D}), v = random({N, Hkv * D}), weight = random({D}),
               grad_q_weight = random({D}), grad_k_weight = random({D});
    const auto rstd = floats(N * (H + Hkv)), angles = floats(kSequence * D),
               space = floats(kernels::qk_norm_rope_workspace(shape));
    const auto positions = at::arange(kSequence, options_.dtype(at::kLong)).repeat({N / kSequence});
    measure_rows(plan::kernel::kHeads, N, width, plan::row_elements::heads(width),
                 [&](const Launch& launch) {
                   kernels::qk_norm_rope_forward({.qkv = view_of(qkv),
                                                  .q_weight = view_of(weight),
                                                  .k_weight = view_of(weight),
                                                  .cos_sin = view_of(angles),
                                                  .positions = view_of(positions),
                                                  .q = view_of(q),
                                                  .k = view_of(k),
                                                  .v = view_of(v),
                                                  .rstd = view_of(rstd)},
                                                 shape, launch);
                 });
    measure_rows(plan::kernel::kHeadsBackward, N, width, plan::row_elements::heads_backward(width),
                 [&](const Launch& launch) {
                   kernels::qk_norm_rope_backward({.qkv = view_of(qkv),
                                                   .q_weight = view_of(weight),
                                                   .k_weight = view_of(weight),
                                                   .cos_sin = view_of(angles),
                                                   .positions = view_of(positions),
                                                   .rstd = view_of(rstd),
                                                   .grad_q = view_of(q),
                                                   .grad_k = view_of(k),
                                                   .grad_v = view_of(v),
                                                   .grad_qkv = view_of(grad_qkv),
                                                   .grad_q_weight = view_of(grad_q_weight),
                                                   .grad_k_weight = view_of(grad_k_weight),
                                                   .workspace = view_of(space)},
                                                  shape, launch);
                 });
  }

  void swiglu(std::int64_t N, std::int64_t F) {
    const auto gate_up = random({N, 2 * F}), y = random({N, F});
    measure_rows(plan::kernel::kSwiglu, N, F, plan::row_elements::swiglu(F),
                 [&](const Launch& launch) {
                   kernels::swiglu_forward(view_of(gate_up), view_of(y), N, F, launch);
                 });
    measure_rows(plan::kernel::kSwigluBackward, N, F, plan::row_elements::swiglu_backward(F),
                 [&](const Launch& launch) {
                   kernels::swiglu_backward(view_of(gate_up), view_of(y), view_of(gate_up), N, F,
                                            launch);
                 });
  }

  void embedding(std::int64_t N, const model::Qwen3Config& model) {
    const auto h = model.hidden, V = model.vocab;
    const auto ids = at::randint(V, {N}, options_.dtype(at::kLong));
    const auto table = random({V, h}), y = random({N, h});
    const auto space = at::zeros({kernels::embedding_workspace(N)}, options_.dtype(at::kLong));
    measure_rows(plan::kernel::kEmbedding, N, h, plan::row_elements::embedding(h),
                 [&](const Launch& launch) {
                   kernels::embedding_forward(view_of(ids), view_of(table), view_of(y), V, h,
                                              launch);
                 });
    measure_rows(plan::kernel::kEmbeddingBackward, N, h, plan::row_elements::embedding(h),
                 [&](const Launch& launch) {
                   kernels::embedding_backward(view_of(ids), view_of(y), view_of(table),
                                               view_of(space), V, h, launch);
                 });
  }

  void cross_entropy(std::int64_t N, std::int64_t V) {
    const auto logits = random({N, V});
    const auto targets = at::randint(V, {N}, options_.dtype(at::kLong));
    const auto row_loss = floats(N), scale = floats(1);
    const auto loss = at::zeros({1}, options_.dtype(at::kDouble));
    measure_rows(plan::kernel::kCrossEntropy, N, V, plan::row_elements::cross_entropy(V),
                 [&](const Launch& launch) {
                   kernels::cross_entropy({.logits = view_of(logits),
                                           .targets = view_of(targets),
                                           .grad = view_of(logits),
                                           .row_loss = view_of(row_loss),
                                           .loss_sum = {loss.data_ptr(), 1, DType::i64},
                                           .scale = view_of(scale)},
                                          N, V, 0.0, launch);
                 });
  }

  void flat(std::int64_t numel) {
    constexpr int kParts = 2;
    const auto amount = static_cast<double>(numel);
    const auto master = floats(numel), exp_avg = floats(numel), exp_avg_sq = floats(numel),
               grad = floats(numel), factor = floats(1), sums = floats(numel / 1024 + 1);
    const auto param = random({numel}), parts = random({kParts * numel});
    const auto result = at::zeros({1}, options_.dtype(at::kDouble));
    measure(plan::kernel::kAdamW, 0, plan::flat_bytes::kAdamW * amount, [&](const Launch& launch) {
      kernels::adamw(
          {view_of(master), view_of(exp_avg), view_of(exp_avg_sq), view_of(grad), view_of(param)},
          kernels::AdamWParams{.learning_rate = 1e-5}, view_of(factor), launch);
    });
    measure(plan::kernel::kNorm, 0, plan::flat_bytes::kNorm * amount, [&](const Launch& launch) {
      kernels::sum_of_squares(view_of(grad), {result.data_ptr(), 1, DType::i64}, 0, view_of(sums),
                              launch);
    });
    measure(plan::kernel::kOrderedSum, 0,
            amount * plan::flat_bytes::ordered_sum(kParts, kHalfBytes, 4, false),
            [&](const Launch& launch) {
              kernels::ordered_sum(view_of(parts), kParts, view_of(grad), false, launch);
            });
    measure(plan::kernel::kFillZero, 0, kHalfBytes * amount,
            [&](const Launch& launch) { kernels::fill_zero(view_of(param), launch); });
    measure(plan::kernel::kPack, 0, amount * (4 + kHalfBytes), [&](const Launch& launch) {
      kernels::cast_strided(view_of(master), 0, numel / kParts, kParts, numel / kParts,
                            view_of(param), launch);
    });
  }

  memory::Queues& queues_;
  at::TensorOptions options_;
  std::vector<plan::KernelTime> times_;
};

}  // namespace

std::vector<plan::KernelTime> measure_kernels(memory::Queues& queues, int index) {
  return Kernels(queues, index).run();
}

}  // namespace zt::bench
