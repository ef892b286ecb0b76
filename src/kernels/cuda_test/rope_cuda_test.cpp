// Fused q/k norm and rotary embedding: CUDA against the CPU implementation.
#include <gtest/gtest.h>

#include "kernels/cuda_test/device_buffer.h"
#include "kernels/qk_norm_rope/qk_norm_rope.h"

namespace zt::kernels::cuda_test {
namespace {

constexpr std::int64_t kMaxPosition = 64;

/// All buffers of one shape; the forward on the host fills what the backward reads.
struct Heads {
  QkNormRopeShape shape;
  DType dtype;
  std::int64_t tokens = shape.batch * shape.sequence;
  std::int64_t q_numel = tokens * shape.q_heads * shape.head_dim;
  std::int64_t kv_numel = tokens * shape.kv_heads * shape.head_dim;
  std::int64_t shift = 0;
  Buffer qkv{normal(q_numel + 2 * kv_numel, 1, 2.0), dtype, shift};
  Buffer q_weight{normal(shape.head_dim, 2, 0.3, 1.0), dtype};
  Buffer k_weight{normal(shape.head_dim, 3, 0.3, 1.0), dtype};
  Buffer cos_sin{zeros(kMaxPosition * shape.head_dim), DType::f32};
  Buffer positions{integers(tokens, 4, kMaxPosition), DType::i64};
  Buffer q{zeros(q_numel), dtype}, k{zeros(kv_numel), dtype}, v{zeros(kv_numel), dtype};
  Buffer rstd{zeros(tokens * (shape.q_heads + shape.kv_heads)), DType::f32};

  void fill_table() {
    rope_table(cos_sin.host(), kMaxPosition, shape.head_dim, 10000.0);
    cos_sin.upload();
  }

  void forward(bool on) {
    const auto side = [on](Buffer& buffer) { return on ? buffer.device() : buffer.host(); };
    qk_norm_rope_forward({side(qkv), side(q_weight), side(k_weight), side(cos_sin), side(positions),
                          side(q), side(k), side(v), side(rstd)},
                         shape, on ? device_launch() : host_launch());
  }
};

void expect_close(const Buffer& buffer, DType dtype, const char* what) {
  ASSERT_EQ(compare(buffer.device_values(), buffer.host_values(), unit(dtype)), "") << what;
}

void expect_both(const QkNormRopeShape& shape, DType dtype, std::int64_t shift) {
  SCOPED_TRACE(testing::Message() << to_string(dtype) << " tokens " << shape.batch * shape.sequence
                                  << " heads " << shape.q_heads << "/" << shape.kv_heads << " dim "
                                  << shape.head_dim << " norm " << shape.qk_norm);
  Heads heads{.shape = shape, .dtype = dtype, .shift = shift};
  heads.fill_table();
  heads.forward(true);
  heads.forward(false);
  expect_close(heads.q, dtype, "q");
  expect_close(heads.k, dtype, "k");
  ASSERT_EQ(heads.v.device_bytes(), heads.v.host_bytes());
  if (shape.qk_norm) {
    ASSERT_EQ(compare(heads.rstd.device_values(), heads.rstd.host_values(), 1e-6), "");
  }
  heads.rstd.upload();

  Buffer grad_q(normal(heads.q_numel, 5), dtype);
  Buffer grad_k(normal(heads.kv_numel, 6), dtype);
  Buffer grad_v(normal(heads.kv_numel, 7), dtype);
  Buffer grad_qkv(zeros(heads.q_numel + 2 * heads.kv_numel), dtype, shift);
  Buffer grad_q_weight(normal(shape.head_dim, 8), DType::f32);
  Buffer grad_k_weight(normal(shape.head_dim, 9), DType::f32);
  Buffer workspace(zeros(qk_norm_rope_workspace(shape)), DType::f32);
  const auto backward = [&](bool on) {
    const auto side = [on](Buffer& buffer) { return on ? buffer.device() : buffer.host(); };
    qk_norm_rope_backward(
        {side(heads.qkv), side(heads.q_weight), side(heads.k_weight), side(heads.cos_sin),
         side(heads.positions), side(heads.rstd), side(grad_q), side(grad_k), side(grad_v),
         side(grad_qkv), side(grad_q_weight), side(grad_k_weight), side(workspace)},
        shape, on ? device_launch() : host_launch());
  };
  backward(true);
  const auto first_x = grad_qkv.device_bytes();
  const auto first_weight = grad_q_weight.device_bytes();
  grad_qkv.upload();
  grad_q_weight.upload();
  grad_k_weight.upload();
  backward(true);
  ASSERT_EQ(grad_qkv.device_bytes(), first_x) << "two runs differ";
  ASSERT_EQ(grad_q_weight.device_bytes(), first_weight) << "two runs differ";
  backward(false);
  expect_close(grad_qkv, dtype, "grad_qkv");
  expect_close(grad_q_weight, dtype, "grad_q_weight");
  expect_close(grad_k_weight, dtype, "grad_k_weight");
}

TEST(CudaQkNormRopeTest, ForwardAndBackwardMatchTheCpu) {
  const QkNormRopeShape shapes[] = {
      {1, 1, 1, 1, 2},     {2, 5, 4, 2, 64},  {1, 33, 16, 8, 128}, {2, 7, 5, 5, 80},
      {1, 9, 3, 1, 96},    {1, 3, 2, 1, 256}, {1, 2, 2, 2, 512},   {1, 1100, 2, 1, 64},
      {1, 13, 40, 8, 128}, {1, 4, 4, 2, 36},
  };
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (QkNormRopeShape shape : shapes) {
      for (const bool qk_norm : {true, false}) {
        shape.qk_norm = qk_norm;
        expect_both(shape, dtype, 0);
      }
    }
    expect_both({1, 9, 4, 2, 128}, dtype, 1);
  }
}

}  // namespace
}  // namespace zt::kernels::cuda_test
