// Prints the time of every kernel at training sizes: GB/s against the memory's copy rate, TFLOP/s
// of the library calls. Only the order of magnitude is asserted; the table is the result.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>

#include "kernels/adamw/adamw.h"
#include "kernels/attention/attention.h"
#include "kernels/cast/cast.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/cuda_test/device_buffer.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gemm/gemm.h"
#include "kernels/grad_norm/grad_norm.h"
#include "kernels/ordered_sum/ordered_sum.h"
#include "kernels/qk_norm_rope/qk_norm_rope.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/swiglu/swiglu.h"

namespace zt::kernels::cuda_test {
namespace {

constexpr DType kHalf = DType::bf16;

template <typename Body>
void report(const char* name, const std::string& size, double bytes, Body body) {
  const double seconds = seconds_of(body);
  fmt::print("{:<28}{:<26}{:>9.1f} us{:>8.0f} GB/s{:>6.0f} % of copy\n", name, size, seconds * 1e6,
             bytes / seconds * 1e-9, 100 * bytes / seconds / kCopyRate);
  EXPECT_GT(bytes / seconds, 0.02 * kCopyRate) << name;
}

template <typename Body>
void report_flops(const char* name, const std::string& size, double flops, Body body) {
  const double seconds = seconds_of(body);
  fmt::print("{:<28}{:<26}{:>9.1f} us{:>8.0f} TFLOP/s\n", name, size, seconds * 1e6,
             flops / seconds * 1e-12);
}

TEST(CudaSpeedTest, FlatOperations) {
  const std::int64_t n = 64L << 20;
  const auto count = static_cast<double>(n);
  const Launch launch = device_launch();
  const Memory a(n, DType::f32), b(n, DType::f32), c(n, DType::f32), d(n, DType::f32);
  const Memory half(n, kHalf), parts(4 * n, kHalf);
  const Memory workspace(n / 1024, DType::f32), out(8, DType::i64);
  const Memory factor(1, DType::f32);
  report("copy", "256 MB", 8 * count, [&] {
    cudaMemcpyAsync(View(b).data, View(a).data, 4UL << 26, cudaMemcpyDeviceToDevice,
                    static_cast<cudaStream_t>(launch.stream));
  });
  AdamWParams params;
  params.learning_rate = 1e-4;
  report("adamw", "64 Mi, bf16 copy", 30 * count, [&] {
    adamw({a, b, c, d, half}, params, factor, launch);
  });
  report("sum_of_squares", "64 Mi fp32", 4 * count,
         [&] { sum_of_squares(d, out, 0, workspace, launch); });
  report("sum_of_squares", "64 Mi bf16", 2 * count,
         [&] { sum_of_squares(half, out, 0, workspace, launch); });
  report("ordered_sum", "4 x 64 Mi bf16 + fp32", 16 * count,
         [&] { ordered_sum(parts, 4, a, true, launch); });
  report("ordered_sum", "4 x 64 Mi bf16 > bf16", 10 * count,
         [&] { ordered_sum(parts, 4, half, false, launch); });
  report("cast", "64 Mi fp32 > bf16", 6 * count, [&] { cast(a, half, launch); });
  report("cast", "64 Mi bf16 > fp32", 6 * count, [&] { cast(half, a, launch); });
  report("cast_strided", "16 x 4 Mi fp32 > bf16", 6 * count / 2,
         [&] { cast_strided(a, 0, n / 16, 16, n / 32, View(half).slice(0, n / 2), launch); });
  report("fill_zero", "256 MB", 4 * count, [&] { fill_zero(a, launch); });
}

TEST(CudaSpeedTest, RowOperations) {
  const Launch launch = device_launch();
  struct Size {
    std::int64_t rows, cols, ffn;
  };
  for (const Size s : {Size{16384, 1024, 3072}, Size{8192, 4096, 12288}, Size{8192, 2560, 9728}}) {
    const std::int64_t n = s.rows * s.cols;
    const auto count = static_cast<double>(n);
    const std::string size = fmt::format("{} x {}", s.rows, s.cols);
    const Memory x(n, kHalf), residual(n, kHalf), sum(n, kHalf), y(n, kHalf);
    const Memory weight(s.cols, kHalf), rstd(s.rows, DType::f32), grad_weight(s.cols, DType::f32);
    const RmsNormShape shape{s.rows, s.cols, 1e-6F};
    const Memory workspace(rms_norm_workspace(shape), DType::f32);
    report("rms_norm fwd", size, 4 * count, [&] {
      rms_norm_forward({x, View{}, View{}, weight, y, rstd}, shape, launch);
    });
    report("rms_norm fwd + residual", size, 8 * count, [&] {
      rms_norm_forward({x, residual, sum, weight, y, rstd}, shape, launch);
    });
    report("rms_norm bwd", size, 6 * count, [&] {
      rms_norm_backward({x, weight, rstd, y, View{}, sum, grad_weight, workspace}, shape, launch);
    });
    report("rms_norm bwd + residual", size, 8 * count, [&] {
      rms_norm_backward({x, weight, rstd, y, residual, sum, grad_weight, workspace}, shape, launch);
    });
    const std::int64_t wide = s.rows * s.ffn;
    const std::string ffn = fmt::format("{} x {}", s.rows, s.ffn);
    const Memory gate_up(2 * wide, kHalf), out(wide, kHalf), grad(2 * wide, kHalf);
    report("swiglu fwd", ffn, 6.0 * static_cast<double>(wide),
           [&] { swiglu_forward(gate_up, out, s.rows, s.ffn, launch); });
    report("swiglu bwd", ffn, 10.0 * static_cast<double>(wide),
           [&] { swiglu_backward(gate_up, out, grad, s.rows, s.ffn, launch); });
  }
}

TEST(CudaSpeedTest, HeadsEmbeddingAndLoss) {
  const Launch launch = device_launch();
  for (const QkNormRopeShape shape :
       {QkNormRopeShape{16, 1024, 16, 8, 128}, QkNormRopeShape{2, 4096, 32, 8, 128}}) {
    const std::int64_t tokens = shape.batch * shape.sequence;
    const std::int64_t q = tokens * shape.q_heads * 128, kv = tokens * shape.kv_heads * 128;
    const auto count = static_cast<double>(q + 2 * kv);
    const std::string size = fmt::format("{} x {}/{} x 128", tokens, shape.q_heads, shape.kv_heads);
    const Memory qkv(q + 2 * kv, kHalf), grad(q + 2 * kv, kHalf), queries(q, kHalf),
        keys(kv, kHalf), values(kv, kHalf);
    const Memory q_weight(128, kHalf), k_weight(128, kHalf), table(4096 * 128, DType::f32);
    const Memory rstd(tokens * (shape.q_heads + shape.kv_heads), DType::f32);
    const Memory q_grad(128, DType::f32), k_grad(128, DType::f32);
    const Memory workspace(qk_norm_rope_workspace(shape), DType::f32);
    Buffer positions(integers(tokens, 1, 4096), DType::i64);
    report("qk_norm_rope fwd", size, 4 * count, [&] {
      qk_norm_rope_forward(
          {qkv, q_weight, k_weight, table, positions.device(), queries, keys, values, rstd}, shape,
          launch);
    });
    report("qk_norm_rope bwd", size, 6 * count - 2.0 * static_cast<double>(kv), [&] {
      qk_norm_rope_backward({qkv, q_weight, k_weight, table, positions.device(), rstd, queries,
                             keys, values, grad, q_grad, k_grad, workspace},
                            shape, launch);
    });
  }
  for (const std::int64_t n : {16384L, 65536L}) {
    constexpr std::int64_t kVocab = 151936, kCols = 1024;
    Buffer ids(integers(n, 1, kVocab), DType::i64);
    const Memory table(kVocab * kCols, kHalf), grad_table(kVocab * kCols, DType::f32);
    const Memory y(n * kCols, kHalf), workspace(embedding_workspace(n), DType::i64);
    const auto count = static_cast<double>(n * kCols);
    const std::string size = fmt::format("{} x {}", n, kCols);
    report("embedding fwd", size, 4 * count,
           [&] { embedding_forward(ids.device(), table, y, kVocab, kCols, launch); });
    report("embedding bwd (fp32 table)", size, 10 * count, [&] {
      embedding_backward(ids.device(), y, grad_table, workspace, kVocab, kCols, launch);
    });
  }
  const std::int64_t rows = 2048, vocab = 151936;
  const Memory logits(rows * vocab, kHalf), row_loss(rows, DType::f32), loss(1, DType::i64);
  Buffer targets(integers(rows, 2, vocab), DType::i64);
  report("cross_entropy in place", "2048 x 151936 bf16", 4.0 * static_cast<double>(rows * vocab),
         [&] {
           cross_entropy({logits, targets.device(), logits, row_loss, loss}, rows, vocab, 1e-3,
                         launch);
         });
}

at::Tensor filled(at::IntArrayRef sizes, at::ScalarType type = at::kBFloat16) {
  return at::empty(sizes, at::TensorOptions(at::kCUDA).dtype(at::kFloat)).normal_().to(type);
}

TEST(CudaSpeedTest, GemmAndAttention) {
  for (const std::int64_t in : {1024L, 4096L}) {
    const std::int64_t n = in == 1024 ? 16384 : 8192, out = 3 * in;
    const at::Tensor x = filled({n, in}), weight = filled({out, in}), y = filled({n, out});
    const at::Tensor grad_x = filled({n, in});
    const at::Tensor full = filled({out, in}, at::kFloat), half = filled({out, in});
    const double flops = 2.0 * static_cast<double>(n * in * out);
    const std::string size = fmt::format("{} x {} x {}", n, in, out);
    report_flops("gemm forward", size, flops, [&] { linear_forward(x, weight, y); });
    report_flops("gemm grad_x", size, flops,
                 [&] { linear_backward_input(y, weight, grad_x, false); });
    report_flops("gemm grad_weight += fp32", size, flops,
                 [&] { linear_backward_weight(y, x, full); });
    report_flops("gemm grad_weight += bf16", size, flops,
                 [&] { linear_backward_weight(y, x, half); });
  }
  for (const AttentionShape s :
       {AttentionShape{32, 512, 16, 8, 128}, AttentionShape{16, 1024, 16, 8, 128},
        AttentionShape{2, 4096, 32, 8, 128}}) {
    const at::Tensor q = filled({s.batch, s.sequence, s.q_heads, s.head_dim});
    const at::Tensor k = filled({s.batch, s.sequence, s.kv_heads, s.head_dim});
    const at::Tensor v = filled({s.batch, s.sequence, s.kv_heads, s.head_dim});
    const at::Tensor lse = filled({s.batch, s.q_heads, s.sequence}, at::kFloat);
    const AttentionBackward io{q,
                               k,
                               v,
                               {},
                               filled(q.sizes()),
                               lse,
                               filled(q.sizes()),
                               filled(q.sizes()),
                               filled(k.sizes()),
                               filled(v.sizes())};
    const double flops = 2.0 * static_cast<double>(s.batch * s.q_heads * s.head_dim) *
                         static_cast<double>(s.sequence * s.sequence);
    const std::string size =
        fmt::format("B{} T{} H{}/{}", s.batch, s.sequence, s.q_heads, s.kv_heads);
    for (const bool deterministic : {false, true}) {
      const char* names[] = {"attention fwd", "attention bwd", "attention fwd determ.",
                             "attention bwd determ."};
      report_flops(names[deterministic ? 2 : 0], size, flops, [&] {
        attention_forward(q, k, v, {}, io.out, lse, s, deterministic, device_launch());
      });
      report_flops(names[deterministic ? 3 : 1], size, 2.5 * flops,
                   [&] { attention_backward(io, s, deterministic, device_launch()); });
    }
  }
}

}  // namespace
}  // namespace zt::kernels::cuda_test
