#include "kernels/causal_conv1d/causal_conv1d.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "kernels/causal_conv1d/causal_conv1d_ref.h"
#include "kernels/cpu/test_values.h"

namespace zt::kernels {
namespace {

using test::close;
using test::normal;
using test::tolerance;
using test::Values;
using test::zeros;

struct Case {
  std::int64_t batch, sequence, channels, width;
  bool bias, resets;
};
constexpr Case kCases[] = {{1, 1, 1, 4, true, false},    {2, 7, 3, 1, true, true},
                           {1, 65, 17, 4, true, true},   {2, 130, 33, 3, false, true},
                           {3, 64, 300, 4, true, false}, {1, 3, 20, 8, true, true}};
constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16};

ConvShape shape_of(const Case& c) { return {c.batch, c.sequence, c.channels, c.width}; }

struct Problem {
  Case c;
  DType dtype;
  std::int64_t tokens = c.batch * c.sequence, numel = tokens * c.channels;
  /// x is the first half of a matrix twice as wide, as in_proj leaves it.
  Values x{normal(2 * numel, 1), dtype};
  Values weight{normal(c.channels * c.width, 2, 0.5), dtype};
  Values bias{normal(c.bias ? c.channels : 0, 3), dtype};
  Values grad_y{normal(numel, 4), dtype};
  Values positions{make_positions(), DType::i64};

  [[nodiscard]] std::vector<double> make_positions() const {
    std::vector<double> result;
    if (!c.resets) return result;
    for (std::int64_t i = 0; i < tokens; ++i) {
      const auto t = i % c.sequence;
      result.push_back(static_cast<double>(t < 2 ? t : (t < 63 ? t - 2 : (t - 63) % 5)));
    }
    return result;
  }
  [[nodiscard]] ConvInputs inputs() {
    return {columns_of(x.view(), 2 * c.channels, 0), weight.view(), bias.view(), positions.view()};
  }
  [[nodiscard]] reference::CausalConv1d reference() const {
    const auto size = [](std::int64_t value) { return static_cast<std::size_t>(value); };
    return {size(c.batch), size(c.sequence), size(c.channels), size(c.width)};
  }
  [[nodiscard]] reference::CausalConv1d::Inputs values() const {
    std::vector<bool> resets;
    for (const double position : positions.get()) resets.push_back(position == 0);
    std::vector<double> own;
    const auto all = x.get();
    for (std::int64_t i = 0; i < numel; ++i) {
      own.push_back(
          all[static_cast<std::size_t>(i / c.channels * 2 * c.channels + i % c.channels)]);
    }
    return {own, weight.get(), bias.get(), resets};
  }
};

TEST(CausalConv1dTest, ForwardMatchesTheReference) {
  for (const DType dtype : kFloats) {
    for (const Case& c : kCases) {
      Problem p{c, dtype};
      Values y(zeros(p.numel), dtype);
      causal_conv1d_forward({.in = p.inputs(), .y = {y.view()}}, shape_of(c), {});
      EXPECT_TRUE(close(y, p.reference().forward(p.values()), tolerance(dtype, 1, c.width)))
          << c.sequence << " x " << c.channels << " x " << c.width;
    }
  }
}

struct Gradients {
  Values x, weight, bias;
};

Gradients backward(Problem& p, DType grad_dtype) {
  const ConvShape shape = shape_of(p.c);
  const auto added = [&](std::int64_t count) {
    return Values(std::vector<double>(static_cast<std::size_t>(count), 0.5), grad_dtype);
  };
  Gradients got{Values(zeros(p.numel), p.dtype), added(p.weight.view().numel),
                added(p.bias.view().numel)};
  Values workspace(
      std::vector<double>(static_cast<std::size_t>(conv_workspace(shape)), std::nan("")),
      DType::f32);
  causal_conv1d_backward({.in = p.inputs(),
                          .grad_y = {p.grad_y.view()},
                          .grad_x = {got.x.view()},
                          .grad_weight = got.weight.view(),
                          .grad_bias = got.bias.view(),
                          .workspace = workspace.view()},
                         shape, {});
  EXPECT_TRUE(workspace.guards_hold());
  return got;
}

std::vector<double> plus_half(std::vector<double> values) {
  for (double& value : values) value += 0.5;
  return values;
}

TEST(CausalConv1dTest, EveryGradientMatchesTheReference) {
  for (const DType dtype : kFloats) {
    for (const DType grad_dtype : kFloats) {
      for (const Case& c : kCases) {
        Problem p{c, dtype};
        const auto got = backward(p, grad_dtype);
        const auto want = p.reference().backward(p.values(), p.grad_y.get());
        SCOPED_TRACE(testing::Message() << c.sequence << " x " << c.channels << " x " << c.width);
        const double summed = tolerance(grad_dtype, 1, p.tokens) + 4e-6;
        EXPECT_TRUE(close(got.x, want.x, tolerance(dtype, 1, c.width) + 4e-6));
        EXPECT_TRUE(close(got.weight, plus_half(want.weight), summed));
        if (c.bias) {
          EXPECT_TRUE(close(got.bias, plus_half(want.bias), summed));
        }
      }
    }
  }
}

TEST(CausalConv1dTest, PiecesWithCarriedInputsGiveTheBitsOfTheWholeRow) {
  const Case c{2, 11, 19, 4, true, false};
  Problem p{c, DType::bf16};
  Values whole(zeros(p.numel), p.dtype);
  causal_conv1d_forward({.in = p.inputs(), .y = {whole.view()}}, shape_of(c), {});
  const auto values = p.values().x;
  const auto want = whole.get();
  Values history(zeros(c.batch * (c.width - 1) * c.channels), p.dtype);
  for (std::int64_t t = 0, count = 2; t < c.sequence; t += count, count = 1) {  // 2 tokens, then 1
    std::vector<double> piece, expected;
    for (std::int64_t row = 0; row < c.batch; ++row) {
      const auto from = (row * c.sequence + t) * c.channels;
      piece.insert(piece.end(), values.begin() + from, values.begin() + from + count * c.channels);
      expected.insert(expected.end(), want.begin() + from,
                      want.begin() + from + count * c.channels);
    }
    Values x(piece, p.dtype), y(zeros(count * c.batch * c.channels), p.dtype);
    const ConvInputs in{{x.view()}, p.weight.view(), p.bias.view(), {}};
    if (count == 1) {
      causal_conv1d_step(in, {y.view()}, history.view(), shape_of(c), {});
    } else {
      causal_conv1d_forward({.in = in,
                             .y = {y.view()},
                             .initial_inputs = history.view(),
                             .final_inputs = history.view()},
                            {c.batch, count, c.channels, c.width}, {});
    }
    ASSERT_EQ(y.get(), expected) << t;
  }
  EXPECT_TRUE(history.guards_hold());
}

TEST(CausalConv1dTest, BitsDoNotDependOnTheNumberOfThreads) {
  Problem p{{2, 150, 100, 4, true, true}, DType::f32};
  omp_set_num_threads(1);
  const auto one = backward(p, DType::f32);
  omp_set_num_threads(3);
  const auto three = backward(p, DType::f32);
  omp_set_num_threads(1);
  EXPECT_EQ(one.x.bytes(), three.x.bytes());
  EXPECT_EQ(one.weight.bytes(), three.weight.bytes());
}

TEST(CausalConv1dTest, RefusesSizesThatDoNotFit) {
  Problem p{kCases[1], DType::f32};
  Values y(zeros(p.numel), DType::f32);
  ConvShape shape = shape_of(p.c);
  shape.width = 9;
  EXPECT_THROW(causal_conv1d_forward({.in = p.inputs(), .y = {y.view()}}, shape, {}),
               InternalError);
}

}  // namespace
}  // namespace zt::kernels
