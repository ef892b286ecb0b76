// Every kernel of ours can be captured in a CUDA graph, and its replay gives the bits of a plain
// run.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "kernels/adamw/adamw.h"
#include "kernels/cast/cast.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/cuda_test/device_buffer.h"
#include "kernels/embedding/embedding.h"
#include "kernels/grad_norm/grad_norm.h"
#include "kernels/ordered_sum/ordered_sum.h"
#include "kernels/qk_norm_rope/qk_norm_rope.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/swiglu/swiglu.h"

namespace zt::kernels::cuda_test {
namespace {

constexpr std::int64_t kRows = 48, kCols = 256, kVocab = 100;
constexpr QkNormRopeShape kHeads{2, 24, 4, 2, 32};
constexpr RmsNormShape kNorm{kRows, kCols, 1e-6F};
constexpr DType kHalf = DType::bf16;

/// A small model's worth of buffers and one pass of every kernel over them.
struct Pass {
  Buffer ids{integers(kRows, 1, kVocab), DType::i64};
  Buffer targets{integers(kRows, 2, kCols), DType::i64};
  Buffer positions{integers(kRows, 3, 16), DType::i64};
  Buffer table{normal(kVocab * kCols, 4), kHalf}, grad_table{zeros(kVocab * kCols), DType::f32};
  Buffer x{zeros(kRows * kCols), kHalf}, y{zeros(kRows * kCols), kHalf};
  Buffer weight{normal(kCols, 5), kHalf}, rstd{zeros(kRows), DType::f32};
  Buffer gate_up{normal(kRows * kCols * 2, 6), kHalf};
  Buffer q_weight{normal(32, 7), kHalf}, k_weight{normal(32, 8), kHalf};
  Buffer angles{normal(16 * 32, 9), DType::f32};
  Buffer q{zeros(kRows * 128), kHalf}, k{zeros(kRows * 64), kHalf}, v{zeros(kRows * 64), kHalf};
  Buffer head_rstd{zeros(kRows * 6), DType::f32};
  Buffer weight_grad{zeros(kCols), DType::f32}, q_grad{zeros(32), DType::f32},
      k_grad{zeros(32), DType::f32};
  Buffer row_loss{zeros(kRows), DType::f32}, loss{zeros(1), DType::i64};
  Buffer embedding_space{zeros(embedding_workspace(kRows)), DType::i64};
  Buffer norm_space{zeros(rms_norm_workspace(kNorm)), DType::f32};
  Buffer head_space{zeros(qk_norm_rope_workspace(kHeads)), DType::f32};
  Buffer master{normal(kVocab * kCols, 10), DType::f32}, exp_avg{zeros(kVocab * kCols), DType::f32};
  Buffer exp_avg_sq{zeros(kVocab * kCols), DType::f32}, sums{zeros(kVocab), DType::f32};
  Buffer inverse_scale{{4607182418800017408.0}, DType::i64};  // the bits of 1.0
  Buffer norm{zeros(3), DType::i64}, factor{zeros(1), DType::f32};
  Buffer reduced{zeros(kRows * kCols / 2), DType::f32}, cleared{normal(100, 11), kHalf};

  std::vector<Buffer*> results() {
    return {&x,           &y,      &gate_up, &q,        &k,       &v,      &grad_table,
            &weight_grad, &q_grad, &k_grad,  &row_loss, &loss,    &master, &exp_avg,
            &exp_avg_sq,  &table,  &norm,    &factor,   &reduced, &cleared};
  }

  void run(const Launch& launch) {
    const auto on = [](Buffer& buffer) { return buffer.device(); };
    embedding_forward(on(ids), on(table), on(x), kVocab, kCols, launch);
    rms_norm_forward({on(x), View{}, View{}, on(weight), on(y), on(rstd)}, kNorm, launch);
    qk_norm_rope_forward({on(y), on(q_weight), on(k_weight), on(angles), on(positions), on(q),
                          on(k), on(v), on(head_rstd)},
                         kHeads, launch);
    swiglu_forward(on(gate_up), on(y), kRows, kCols, launch);
    cross_entropy({on(y), on(targets), on(y), on(row_loss), on(loss)}, kRows, kCols, 0.1, launch);
    swiglu_backward(on(gate_up), on(y), on(gate_up), kRows, kCols, launch);
    qk_norm_rope_backward(
        {on(x), on(q_weight), on(k_weight), on(angles), on(positions), on(head_rstd), on(q), on(k),
         on(v), on(y), on(q_grad), on(k_grad), on(head_space)},
        kHeads, launch);
    rms_norm_backward(
        {on(x), on(weight), on(rstd), on(y), View{}, on(y), on(weight_grad), on(norm_space)}, kNorm,
        launch);
    embedding_backward(on(ids), on(y), on(grad_table), on(embedding_space), kVocab, kCols, launch);
    ordered_sum(on(y), 2, on(reduced), true, launch);
    sum_of_squares(on(grad_table), on(norm), 0, on(sums), launch);
    clip_factor(on(norm).slice(0, 1), 1.0, on(inverse_scale), on(norm).slice(1, 2), on(factor),
                launch);
    AdamWParams params;
    params.learning_rate = 1e-3;
    adamw({on(master), on(exp_avg), on(exp_avg_sq), on(grad_table), on(table)}, params, on(factor),
          launch);
    cast(on(master), on(table), launch);
    fill_zero(on(cleared), launch);
  }
};

TEST(CudaGraphTest, ReplayOfEveryKernelGivesTheBitsOfAPlainRun) {
  Pass pass;
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  const Launch launch{Device::cuda, stream};
  pass.run(launch);
  std::vector<std::vector<std::byte>> plain;
  for (Buffer* buffer : pass.results()) {
    plain.push_back(buffer->device_bytes());
    buffer->upload();
  }
  synchronize();

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  pass.run(launch);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&replay, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(replay, stream), cudaSuccess);
  synchronize();
  const auto results = pass.results();
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i]->device_bytes(), plain[i]) << "result " << i;
  }
  EXPECT_EQ(cudaGraphExecDestroy(replay), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

}  // namespace
}  // namespace zt::kernels::cuda_test
