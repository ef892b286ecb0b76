// Operations on rows: CUDA against the CPU implementation, which its own tests hold to a reference.
// Sums run in other orders there, so a rounding may fall one unit to the other side. Every device
// call is made twice and must give the same bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/cuda_test/device_buffer.h"
#include "kernels/cuda_test/run_everywhere.h"
#include "kernels/embedding/embedding.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/swiglu/swiglu.h"

namespace zt::kernels::cuda_test {
namespace {

constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16};

/// Runs `body(true)` on the device twice from the same buffers, expecting the same bits in
/// `outputs`, then `body(false)` on the host, and compares with the tolerance of `dtype`, and with
/// `floor` (see compare) in the first output.
template <typename Body>
void run_and_compare(const std::vector<Buffer*>& outputs, DType dtype, Body body,
                     double floor = 0) {
  run_everywhere(outputs, body);
  if (::testing::Test::HasFatalFailure()) return;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    ASSERT_EQ(compare(outputs[i]->device_values(), outputs[i]->host_values(), unit(dtype),
                      i == 0 ? floor : 0),
              "")
        << "output " << i << " " << to_string(dtype);
  }
}

struct RowCase {
  std::int64_t rows, cols, shift;
};
constexpr RowCase kRowCases[] = {{1, 1, 0},     {3, 7, 0},     {5, 64, 1},    {300, 1024, 0},
                                 {17, 1000, 1}, {9, 2560, 0},  {1100, 96, 0}, {5, 4104, 0},
                                 {3, 8192, 0},  {2, 12288, 0}, {2, 9001, 0}};

TEST(CudaRmsNormTest, ForwardMatchesTheCpu) {
  for (const DType dtype : kFloats) {
    for (const RowCase& c : kRowCases) {
      for (const bool fused : {false, true}) {
        const std::int64_t numel = c.rows * c.cols;
        Buffer x(normal(numel, 1, 2.0), dtype, c.shift);
        Buffer residual(normal(fused ? numel : 0, 2), dtype, c.shift);
        Buffer sum(zeros(fused ? numel : 0), dtype, c.shift);
        Buffer weight(normal(c.cols, 3, 0.3, 1.0), dtype);
        Buffer y(zeros(numel), dtype, c.shift);
        Buffer rstd(zeros(c.rows), DType::f32);
        SCOPED_TRACE(testing::Message() << c.rows << " x " << c.cols << " fused " << fused);
        run_and_compare({&y, &sum, &rstd}, dtype, [&](bool on) {
          rms_norm_forward({side(x, on), side(residual, on), side(sum, on), side(weight, on),
                            side(y, on), side(rstd, on)},
                           {c.rows, c.cols, 1e-6F}, where(on));
        });
        EXPECT_EQ(sum.device_bytes(), sum.host_bytes()) << "the residual sum is one rounding";
        EXPECT_EQ(compare(rstd.device_values(), rstd.host_values(), 1e-6), "");
      }
    }
  }
}

TEST(CudaRmsNormTest, RowsInFp32GoWithWeightsIn16Bits) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const RowCase& c : kRowCases) {
      if (c.cols == 1) continue;  // a gradient of roundings only
      const std::int64_t numel = c.rows * c.cols;
      const RmsNormShape shape{c.rows, c.cols, 1e-6F};
      Buffer x(normal(numel, 1, 2.0), DType::f32, c.shift);
      Buffer weight(normal(c.cols, 3, 0.3, 1.0), dtype);
      Buffer y(zeros(numel), dtype, c.shift);
      Buffer rstd(zeros(c.rows), DType::f32);
      SCOPED_TRACE(testing::Message() << c.rows << " x " << c.cols);
      run_and_compare({&y}, dtype, [&](bool on) {
        rms_norm_forward(
            {side(x, on), View{}, View{}, side(weight, on), side(y, on), side(rstd, on)}, shape,
            where(on));
      });
      rstd.upload();
      Buffer grad_y(normal(numel, 4), dtype, c.shift);
      Buffer grad_residual(normal(numel, 5), DType::f32, c.shift);
      Buffer grad_x(zeros(numel), DType::f32, c.shift);
      Buffer grad_weight(normal(c.cols, 6), DType::f32);
      Buffer workspace(zeros(rms_norm_workspace(shape)), DType::f32);
      run_and_compare({&grad_x, &grad_weight}, DType::f32, [&](bool on) {
        rms_norm_backward(
            {side(x, on), side(weight, on), side(rstd, on), side(grad_y, on),
             side(grad_residual, on), side(grad_x, on), side(grad_weight, on), side(workspace, on)},
            shape, where(on));
      });
    }
  }
}

TEST(CudaRmsNormTest, ForwardMayWriteTheSumOverTheResidual) {
  Buffer x(normal(6 * 256, 1), DType::bf16);
  Buffer residual(normal(6 * 256, 2), DType::bf16);
  Buffer weight(normal(256, 3), DType::bf16);
  Buffer y(zeros(6 * 256), DType::bf16);
  run_and_compare({&y, &residual}, DType::bf16, [&](bool on) {
    rms_norm_forward({side(x, on), side(residual, on), side(residual, on), side(weight, on),
                      side(y, on), View{}},
                     {6, 256, 1e-6F}, where(on));
  });
}

/// Allowance for the gradient of rows of one element, which is only what epsilon leaves of the
/// difference of two terms of size rstd |w g|: rstd (w g - n mean), with n = x rstd = +-1 and
/// mean = (w g) n. The first term has one rounding, w g; the second five: w g, n in both of its
/// places, (w g) n and n mean. CPU and device each make these six, and in fp16 each is then rounded
/// to multiples of 2^-24, the spacing of its smallest numbers. Longer rows keep enough of the
/// terms for compare's own tolerance and get none.
double one_column_floor(const RowCase& c, DType dtype, const Buffer& weight, const Buffer& grad,
                        const Buffer& rstd) {
  if (c.cols != 1) return 0;
  const auto g = grad.host_values();
  const auto scale = rstd.host_values();
  double terms = 0;
  for (std::size_t i = 0; i < g.size(); ++i) {
    terms = std::max(terms, std::abs(scale[i] * weight.host_values()[0] * g[i]));
  }
  return 2 * 6 * kFp32Rounding * terms + (dtype == DType::f16 ? 0x1p-24 : 0.0);
}

void expect_rms_backward(const RowCase& c, DType dtype, DType weight_grad, bool residual_grad) {
  const std::int64_t numel = c.rows * c.cols;
  const RmsNormShape shape{c.rows, c.cols, 1e-6F};
  Buffer x(normal(numel, 1, 2.0), dtype, c.shift);
  Buffer weight(normal(c.cols, 3, 0.3, 1.0), dtype);
  Buffer rstd(zeros(c.rows), DType::f32);
  Buffer y(zeros(numel), dtype);
  rms_norm_forward({x.host(), View{}, View{}, weight.host(), y.host(), rstd.host()}, shape,
                   host_launch());
  rstd.upload();
  Buffer grad_y(normal(numel, 4), dtype, c.shift);
  Buffer grad_residual(normal(residual_grad ? numel : 0, 5), dtype, c.shift);
  Buffer grad_x(zeros(numel), dtype, c.shift);
  Buffer grad_weight(normal(c.cols, 6), weight_grad);
  Buffer workspace(zeros(rms_norm_workspace(shape)), DType::f32);
  SCOPED_TRACE(testing::Message() << c.rows << " x " << c.cols << " residual " << residual_grad);
  run_and_compare(
      {&grad_x, &grad_weight}, dtype,
      [&](bool on) {
        rms_norm_backward(
            {side(x, on), side(weight, on), side(rstd, on), side(grad_y, on),
             side(grad_residual, on), side(grad_x, on), side(grad_weight, on), side(workspace, on)},
            shape, where(on));
      },
      one_column_floor(c, dtype, weight, grad_y, rstd));
}

TEST(CudaRmsNormTest, BackwardMatchesTheCpu) {
  for (const DType dtype : kFloats) {
    for (const RowCase& c : kRowCases) {
      expect_rms_backward(c, dtype, DType::f32, false);
      expect_rms_backward(c, dtype, dtype, true);
    }
  }
}

TEST(CudaSwigluTest, ForwardAndBackwardMatchTheCpu) {
  for (const DType dtype : kFloats) {
    for (const RowCase& c : kRowCases) {
      Buffer gate_up(normal(c.rows * c.cols * 2, 1, 3.0), dtype, c.shift);
      Buffer y(zeros(c.rows * c.cols), dtype, c.shift);
      SCOPED_TRACE(testing::Message() << c.rows << " x " << c.cols);
      run_and_compare({&y}, dtype, [&](bool on) {
        swiglu_forward(side(gate_up, on), side(y, on), c.rows, c.cols, where(on));
      });
      Buffer grad_y(normal(c.rows * c.cols, 2), dtype, c.shift);
      // In place: the gradient replaces the forward's input.
      run_and_compare({&gate_up}, dtype, [&](bool on) {
        swiglu_backward(side(gate_up, on), side(grad_y, on), side(gate_up, on), c.rows, c.cols,
                        where(on));
      });
    }
  }
}

TEST(CudaEmbeddingTest, ForwardCopiesRows) {
  for (const DType dtype : kFloats) {
    for (const std::int64_t cols : {1, 24, 1000, 4096}) {
      Buffer ids(integers(321, 1, 50), DType::i64);
      Buffer table(normal(50 * cols, 2), dtype);
      Buffer y(zeros(321 * cols), dtype);
      embedding_forward(ids.host(), table.host(), y.host(), 50, cols, host_launch());
      embedding_forward(ids.device(), table.device(), y.device(), 50, cols, device_launch());
      ASSERT_EQ(y.device_bytes(), y.host_bytes()) << to_string(dtype) << " " << cols;
    }
  }
}

TEST(CudaEmbeddingTest, BackwardGivesTheBitsOfTheCpu) {
  struct Case {
    std::int64_t n, vocab, cols;
  };
  for (const Case c : {Case{1, 3, 8}, Case{257, 1, 40}, Case{3000, 17, 65}, Case{5000, 20000, 128},
                       Case{70000, 1000, 8}}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const DType table_dtype : {DType::f32, DType::bf16}) {
        Buffer ids(integers(c.n, 1, c.vocab), DType::i64);
        Buffer grad_y(normal(c.n * c.cols, 2), dtype);
        Buffer table(normal(c.vocab * c.cols, 3), table_dtype);
        Buffer workspace(zeros(embedding_workspace(c.n)), DType::i64);
        embedding_backward(ids.host(), grad_y.host(), table.host(), workspace.host(), c.vocab,
                           c.cols, host_launch());
        embedding_backward(ids.device(), grad_y.device(), table.device(), workspace.device(),
                           c.vocab, c.cols, device_launch());
        ASSERT_EQ(table.device_bytes(), table.host_bytes()) << c.n << " " << c.vocab;
        ASSERT_EQ(workspace.device_bytes().size(),
                  8 * static_cast<std::size_t>(embedding_workspace(c.n)));
      }
    }
  }
}

struct LossCase {
  DType logits, grad;
  std::int64_t rows, vocab, shift;
  bool in_place;
};

void expect_loss(const LossCase& c) {
  auto wanted = integers(c.rows, 2, c.vocab);
  for (std::size_t i = 2; i < wanted.size(); i += 5) wanted[i] = -100;
  Buffer logits(normal(c.rows * c.vocab, 1, 4.0), c.logits, c.shift);
  Buffer targets(wanted, DType::i64);
  Buffer grad(zeros(c.in_place ? 0 : c.rows * c.vocab), c.grad, c.shift);
  Buffer row_loss(zeros(c.rows), DType::f32);
  Buffer loss_sum(zeros(1), DType::i64);  // fp64 bits
  Buffer& result = c.in_place ? logits : grad;
  SCOPED_TRACE(testing::Message() << c.rows << " x " << c.vocab << " in place " << c.in_place
                                  << " shift " << c.shift);
  run_and_compare({&row_loss, &result}, c.grad, [&](bool on) {
    cross_entropy({side(logits, on), side(targets, on), side(result, on), side(row_loss, on),
                   side(loss_sum, on)},
                  c.rows, c.vocab, 1.0 / 64, where(on));
  });
  EXPECT_EQ(compare(row_loss.device_values(), row_loss.host_values(), 1e-5), "");
  double sum = 0;
  for (int run = 0; run < 2; ++run) {  // two device runs added to the same sum
    for (const double value : row_loss.device_values()) sum += value;
  }
  double on_device = 0;
  std::memcpy(&on_device, loss_sum.device_bytes().data(), sizeof(double));
  EXPECT_NEAR(on_device, sum, 1e-12 * sum);
}

TEST(CudaCrossEntropyTest, LossAndGradientMatchTheCpu) {
  for (const DType dtype : kFloats) {
    for (const std::int64_t vocab : {2, 31, 1000, 50257, 151936}) {
      expect_loss({dtype, dtype, 7, vocab, 0, true});
      expect_loss({dtype, dtype, 7, vocab, 1, true});
      expect_loss({dtype, dtype, 3, vocab, 0, false});
    }
    expect_loss({dtype, dtype, 3000, 16, 0, true});
  }
  expect_loss({DType::f32, DType::bf16, 5, 1000, 0, false});
  expect_loss({DType::f32, DType::bf16, 5, 1001, 0, false});
}

TEST(CudaCrossEntropyTest, WithoutGradientOnlyTheLossIsWritten) {
  Buffer logits(normal(4 * 1000, 1, 4.0), DType::bf16);
  Buffer targets(integers(4, 2, 1000), DType::i64);
  Buffer row_loss(zeros(4), DType::f32);
  Buffer loss_sum(zeros(1), DType::i64);
  const auto before = logits.device_bytes();
  run_and_compare({&row_loss}, DType::f32, [&](bool on) {
    cross_entropy(
        {side(logits, on), side(targets, on), View{}, side(row_loss, on), side(loss_sum, on)}, 4,
        1000, 1.0, where(on));
  });
  EXPECT_EQ(logits.device_bytes(), before);
}

}  // namespace
}  // namespace zt::kernels::cuda_test
