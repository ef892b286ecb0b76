#include "kernels/selective_scan/selective_scan.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cstring>

#include "kernels/cpu/test_values.h"
#include "kernels/selective_scan/scan_group.h"
#include "kernels/selective_scan/selective_scan_ref.h"

namespace zt::kernels {
namespace {

using test::close;
using test::normal;
using test::tolerance;
using test::Values;
using test::zeros;

struct Case {
  std::int64_t batch, sequence, channels, states;
  bool gate, bias, resets;
};
constexpr Case kCases[] = {{1, 1, 1, 1, true, true, false},    {2, 7, 3, 5, true, true, true},
                           {1, 65, 17, 16, true, true, true},  {2, 130, 33, 16, false, true, false},
                           {3, 64, 70, 4, true, false, true},  {1, 200, 20, 64, true, true, true},
                           {2, 33, 96, 16, false, false, true}};
constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16};

ScanShape shape_of(const Case& c) { return {c.batch, c.sequence, c.channels, c.states}; }

/// A [rows x columns] operand inside a matrix with other columns on both sides.
class Inside {
 public:
  Inside(const std::vector<double>& values, std::int64_t columns, DType dtype)
      : columns_(columns),
        around_(widened(values, columns), dtype),
        rows_(static_cast<std::int64_t>(values.size()) / columns) {}
  [[nodiscard]] TokenMatrix matrix() {
    return rows_ == 0 ? TokenMatrix{} : columns_of(around_.view(), columns_ + 3, 2);
  }
  [[nodiscard]] std::vector<double> get() const {
    std::vector<double> result;
    const auto all = around_.get();
    for (std::int64_t i = 0; i < rows_ * columns_; ++i) {
      result.push_back(
          all[static_cast<std::size_t>(i / columns_ * (columns_ + 3) + 2 + i % columns_)]);
    }
    return result;
  }
  /// The columns around the operand still hold what was there.
  [[nodiscard]] bool guards_hold() const {
    const auto all = around_.get();
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto column = static_cast<std::int64_t>(i) % (columns_ + 3);
      if ((column < 2 || column == columns_ + 2) && all[i] != 7) return false;
    }
    return around_.guards_hold();
  }
  [[nodiscard]] const std::vector<std::uint8_t>& bytes() const { return around_.bytes(); }

 private:
  static std::vector<double> widened(const std::vector<double>& values, std::int64_t columns) {
    std::vector<double> result;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i % static_cast<std::size_t>(columns) == 0) result.insert(result.end(), {7, 7});
      result.push_back(values[i]);
      if ((i + 1) % static_cast<std::size_t>(columns) == 0) result.push_back(7);
    }
    return result;
  }
  std::int64_t columns_;
  Values around_;
  std::int64_t rows_;
};

::testing::AssertionResult close_inside(const Inside& got, const std::vector<double>& want,
                                        double limit) {
  if (!got.guards_hold()) return ::testing::AssertionFailure() << "wrote outside of its columns";
  return close(Values(got.get(), DType::f32), want, limit);
}

struct Problem {
  Case c;
  DType dtype;
  std::int64_t tokens = c.batch * c.sequence, wide = tokens * c.channels, thin = tokens * c.states;
  Inside u{normal(wide, 1), c.channels, dtype}, delta{normal(wide, 2, 1, -2), c.channels, dtype};
  Inside b{normal(thin, 3), c.states, dtype}, c_out{normal(thin, 4), c.states, dtype};
  Inside z{normal(c.gate ? wide : 0, 5), c.channels, dtype};
  Inside grad_y{normal(wide, 6), c.channels, dtype};
  Values a_log{normal(c.channels * c.states, 7, 0.7, 0.5), DType::f32};
  Values skip{normal(c.channels, 8), DType::f32};
  Values bias{normal(c.bias ? c.channels : 0, 9), dtype};
  Values positions{make_positions(), DType::i64};
  Values space{zeros(scan_forward_workspace({c.batch, c.sequence, c.channels, c.states})),
               DType::f32};

  [[nodiscard]] std::vector<double> make_positions() const {
    std::vector<double> result;
    if (!c.resets) return result;
    for (std::int64_t i = 0; i < tokens; ++i) {
      const auto t = i % c.sequence;
      result.push_back(static_cast<double>(t < 5 ? t : (t < 64 ? t - 5 : (t - 64) % 41)));
    }
    return result;
  }
  [[nodiscard]] ScanInputs inputs() {
    return {u.matrix(),   delta.matrix(), b.matrix(),  c_out.matrix(),  z.matrix(),
            a_log.view(), skip.view(),    bias.view(), positions.view()};
  }
  [[nodiscard]] reference::SelectiveScan reference() const {
    const auto size = [](std::int64_t value) { return static_cast<std::size_t>(value); };
    return {size(c.batch), size(c.sequence), size(c.channels), size(c.states)};
  }
  [[nodiscard]] reference::SelectiveScan::Inputs values() const {
    std::vector<bool> resets;
    for (const double position : positions.get()) resets.push_back(position == 0);
    return {u.get(),     delta.get(), b.get(),    c_out.get(), z.get(),
            a_log.get(), skip.get(),  bias.get(), resets};
  }
};

TEST(SelectiveScanTest, ForwardMatchesTheReference) {
  for (const DType dtype : kFloats) {
    for (const Case& c : kCases) {
      Problem p{c, dtype};
      Inside y(zeros(p.wide), c.channels, dtype);
      Values states(zeros(scan_states(shape_of(c))), DType::f32);
      Values final_state(zeros(c.batch * c.channels * c.states), DType::f32);
      selective_scan_forward({.in = p.inputs(),
                              .y = y.matrix(),
                              .states = states.view(),
                              .initial_state = {},
                              .final_state = final_state.view(),
                              .workspace = p.space.view()},
                             shape_of(c), {});
      const auto want = p.reference().forward(p.values());
      EXPECT_TRUE(close_inside(y, want.y, tolerance(dtype, 1, c.states) + 4e-6))
          << c.sequence << " x " << c.channels << " x " << c.states << " " << to_string(dtype);
      const auto row_states = static_cast<std::size_t>(c.channels * c.states);
      std::vector<double> last;
      for (std::int64_t row = 0; row < c.batch; ++row) {
        const auto end =
            want.h.begin() + static_cast<std::ptrdiff_t>(row_states) * ((row + 1) * c.sequence);
        last.insert(last.end(), end - static_cast<std::ptrdiff_t>(row_states), end);
      }
      EXPECT_TRUE(close(final_state, last, 4e-6));
      EXPECT_TRUE(states.guards_hold());
    }
  }
}

struct Gradients {
  Inside u, delta, b, c, z, y;
  Values a_log, skip, bias;
};

Gradients backward(Problem& p, DType grad_dtype) {
  const ScanShape shape = shape_of(p.c);
  Inside y(zeros(p.wide), p.c.channels, p.dtype);
  Values states(zeros(scan_states(shape)), DType::f32);
  selective_scan_forward({.in = p.inputs(),
                          .y = y.matrix(),
                          .states = states.view(),
                          .initial_state = {},
                          .final_state = {},
                          .workspace = p.space.view()},
                         shape, {});
  const auto added = [&](std::int64_t count) {
    return Values(std::vector<double>(static_cast<std::size_t>(count), 0.5), grad_dtype);
  };
  Gradients got{Inside(zeros(p.wide), p.c.channels, p.dtype),
                Inside(zeros(p.wide), p.c.channels, p.dtype),
                Inside(zeros(p.thin), p.c.states, p.dtype),
                Inside(zeros(p.thin), p.c.states, p.dtype),
                Inside(zeros(p.c.gate ? p.wide : 0), p.c.channels, p.dtype),
                Inside(zeros(p.wide), p.c.channels, p.dtype),
                added(p.c.channels * p.c.states),
                added(p.c.channels),
                added(p.c.bias ? p.c.channels : 0)};
  Values workspace(
      std::vector<double>(static_cast<std::size_t>(scan_backward_workspace(shape)), std::nan("")),
      DType::f32);
  selective_scan_backward(
      {.in = p.inputs(),
       .states = states.view(),
       .grad_y = p.grad_y.matrix(),
       .grads = {got.u.matrix(), got.delta.matrix(), got.b.matrix(), got.c.matrix(), got.z.matrix(),
                 got.a_log.view(), got.skip.view(), got.bias.view()},
       .y = got.y.matrix(),
       .workspace = workspace.view()},
      shape, {});
  EXPECT_TRUE(workspace.guards_hold());
  EXPECT_EQ(got.y.bytes(), y.bytes()) << "the backward gives the forward's output again";
  return got;
}

std::vector<double> plus_half(std::vector<double> values) {
  for (double& value : values) value += 0.5;
  return values;
}

TEST(SelectiveScanTest, EveryGradientMatchesTheReference) {
  for (const DType dtype : kFloats) {
    for (const Case& c : kCases) {
      Problem p{c, dtype};
      const auto got = backward(p, DType::f32);
      const auto want = p.reference().backward(p.values(), p.grad_y.get());
      SCOPED_TRACE(testing::Message() << c.sequence << " x " << c.channels << " x " << c.states
                                      << " " << to_string(dtype));
      const double limit = tolerance(dtype, 1, c.channels) + 8e-6;
      const double summed = tolerance(DType::f32, 1, c.batch * c.sequence) + 8e-6;
      EXPECT_TRUE(close_inside(got.u, want.u, limit));
      EXPECT_TRUE(close_inside(got.delta, want.delta, limit));
      EXPECT_TRUE(close_inside(got.b, want.b, limit));
      EXPECT_TRUE(close_inside(got.c, want.c, limit));
      EXPECT_TRUE(close_inside(got.z, want.z, limit));
      EXPECT_TRUE(close(got.a_log, plus_half(want.a_log), summed));
      EXPECT_TRUE(close(got.skip, plus_half(want.skip), summed));
      if (c.bias) {
        EXPECT_TRUE(close(got.bias, plus_half(want.bias), summed));
      }
    }
  }
}

TEST(SelectiveScanTest, ParameterGradientsRoundOnceIntoSixteenBits) {
  for (const DType grad_dtype : {DType::bf16, DType::f16}) {
    Problem p{kCases[2], DType::f32};
    const auto exact = backward(p, DType::f32);
    const auto rounded = backward(p, grad_dtype);
    EXPECT_EQ(rounded.a_log.bytes(), Values(exact.a_log.get(), grad_dtype).bytes());
    EXPECT_EQ(rounded.skip.bytes(), Values(exact.skip.get(), grad_dtype).bytes());
    EXPECT_EQ(rounded.bias.bytes(), Values(exact.bias.get(), grad_dtype).bytes());
  }
}

TEST(SelectiveScanTest, StepsGiveTheBitsOfTheWholeSequence) {
  const Case c{2, 70, 19, 16, true, true, false};
  Problem p{c, DType::f32};
  Inside whole(zeros(p.wide), c.channels, DType::f32);
  selective_scan_forward({.in = p.inputs(), .y = whole.matrix()}, shape_of(c), {});
  Values state(zeros(c.batch * c.channels * c.states), DType::f32);
  const auto want = whole.get();
  for (std::int64_t t = 0; t < c.sequence; ++t) {
    const auto rows = [&](const Inside& from, std::int64_t columns) {
      std::vector<double> token;
      const auto all = from.get();
      for (std::int64_t row = 0; row < c.batch; ++row) {
        const auto begin = all.begin() + (row * c.sequence + t) * columns;
        token.insert(token.end(), begin, begin + columns);
      }
      return token;
    };
    Inside u(rows(p.u, c.channels), c.channels, DType::f32);
    Inside delta(rows(p.delta, c.channels), c.channels, DType::f32);
    Inside b(rows(p.b, c.states), c.states, DType::f32);
    Inside out(rows(p.c_out, c.states), c.states, DType::f32);
    Inside z(rows(p.z, c.channels), c.channels, DType::f32);
    Inside y(zeros(c.batch * c.channels), c.channels, DType::f32);
    selective_scan_step({u.matrix(), delta.matrix(), b.matrix(), out.matrix(), z.matrix(),
                         p.a_log.view(), p.skip.view(), p.bias.view(), View{}},
                        y.matrix(), state.view(), shape_of(c), {});
    ASSERT_EQ(y.get(), rows(whole, c.channels)) << t;
  }
}

TEST(SelectiveScanTest, GradientsMayLieOverTheirInputs) {
  const Case c{2, 130, 33, 16, true, true, true};
  Problem apart{c, DType::bf16};
  const auto want = backward(apart, DType::f32);
  Problem p{c, DType::bf16};
  const ScanShape shape = shape_of(c);
  Inside y(zeros(p.wide), c.channels, DType::bf16);
  Values states(zeros(scan_states(shape)), DType::f32);
  Values workspace(zeros(scan_backward_workspace(shape)), DType::f32);
  Values a_log(zeros(c.channels * c.states), DType::f32), skip(zeros(c.channels), DType::f32);
  const ScanInputs in = p.inputs();
  selective_scan_forward({.in = in, .y = y.matrix(), .states = states.view()}, shape, {});
  selective_scan_backward(
      {.in = in,
       .states = states.view(),
       .grad_y = p.grad_y.matrix(),
       .grads = {in.u, in.delta, in.b, in.c, in.z, a_log.view(), skip.view(), View{}},
       .y = {},
       .workspace = workspace.view()},
      shape, {});
  EXPECT_EQ(p.u.bytes(), want.u.bytes());
  EXPECT_EQ(p.delta.bytes(), want.delta.bytes());
  EXPECT_EQ(p.b.bytes(), want.b.bytes());
  EXPECT_EQ(p.c_out.bytes(), want.c.bytes());
  EXPECT_EQ(p.z.bytes(), want.z.bytes());
}

TEST(SelectiveScanTest, NanInAReachesTheOutput) {
  Problem p{kCases[1], DType::f32};
  p.a_log.view().as<float>()[0] = NAN;
  Inside y(zeros(p.wide), 3, DType::f32);
  selective_scan_forward({.in = p.inputs(), .y = y.matrix()}, shape_of(p.c), {});
  EXPECT_TRUE(std::isnan(y.get()[3])) << "channel 0 of token 1";
  EXPECT_FALSE(std::isnan(y.get()[4])) << "channel 1 of token 1";
}

TEST(SelectiveScanTest, BitsDoNotDependOnTheNumberOfThreads) {
  Problem p{{2, 100, 161, 16, true, true, true}, DType::f32};
  omp_set_num_threads(1);
  const auto one = backward(p, DType::f32);
  omp_set_num_threads(3);
  const auto three = backward(p, DType::f32);
  omp_set_num_threads(1);
  EXPECT_EQ(one.u.bytes(), three.u.bytes());
  EXPECT_EQ(one.b.bytes(), three.b.bytes());
  EXPECT_EQ(one.a_log.bytes(), three.a_log.bytes());
}

/// What one group's loops write, for inputs that do not depend on the target.
std::vector<float> group_results(cpu::SimdTarget target, std::int64_t tokens, std::int64_t states) {
  constexpr std::int64_t kTile = kScanChunk * kScanLanes;
  const auto state = states * kScanLanes, share = tokens * state;
  std::uint64_t seed = 20;
  const auto random = [&](std::int64_t count, double mean = 0) {
    const auto values = normal(count, ++seed, 1, mean);
    return std::vector<float>(values.begin(), values.end());
  };
  auto a = random(state);
  for (float& value : a) value = -std::exp(value);
  const auto skip = random(kScanLanes), bias = random(kScanLanes);
  const auto b = random(tokens * states), c = random(tokens * states);
  const auto u = random(kTile), raw = random(kTile, -2), z = random(kTile), grad_y = random(kTile);
  std::vector<std::uint8_t> restart(kScanChunk);
  restart[static_cast<std::size_t>(tokens / 2)] = 1;
  auto h = random(state);
  std::vector<float> scratch(static_cast<std::size_t>(kScanGroupScratch), NAN);
  std::vector<std::vector<float>> out;
  for (const auto size : {kTile, kTile, kTile, kTile, state, state, kScanLanes, kScanLanes, share,
                          share, (share / kScanLanes + 3) / 4 * 4}) {
    out.emplace_back(static_cast<std::size_t>(size), 0.5F);
  }
  ScanGroup group{tokens,   states,        a.data(),       skip.data(),   bias.data(),
                  b.data(), c.data(),      restart.data(), u.data(),      raw.data(),
                  z.data(), out[0].data(), h.data(),       scratch.data()};
  const auto loops = scan_loops(target);
  loops.backward(group,
                 {grad_y.data(), out[1].data(), out[2].data(), out[3].data(), out[4].data(),
                  out[5].data(), out[6].data(), out[7].data(), out[8].data(), out[9].data()});
  std::vector<float> shares = out[8];
  shares.resize(out[10].size() * kScanLanes);
  loops.sum_lanes(shares.data(), share / kScanLanes, out[10].data());
  out[10].resize(static_cast<std::size_t>(share / kScanLanes));  // a vector's rest is free
  out.push_back(out[0]);
  loops.forward(group);  // y again, and the last state
  EXPECT_EQ(out[0], out.back());
  out.push_back(h);
  std::vector<float> all;
  for (const auto& part : out) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(SelectiveScanTest, EveryInstructionSetGivesTheSameBits) {
  using cpu::SimdTarget;
  std::vector<SimdTarget> targets{cpu::simd_target()};
  if (targets[0] == SimdTarget::avx3) targets.push_back(SimdTarget::avx2);
  for (const std::int64_t states : {1, 16, 19}) {
    const auto want = group_results(SimdTarget::scalar, 23, states);
    for (const auto target : targets) {
      const auto got = group_results(target, 23, states);
      ASSERT_EQ(got.size(), want.size());
      EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0)
          << cpu::to_string(target) << ", " << states << " states";
    }
  }
}

TEST(SelectiveScanTest, RefusesSizesThatDoNotFit) {
  Problem p{kCases[1], DType::f32};
  Inside y(zeros(p.wide), 3, DType::f32);
  ScanShape shape = shape_of(p.c);
  shape.states = 65;
  EXPECT_THROW(selective_scan_forward({.in = p.inputs(), .y = y.matrix()}, shape, {}),
               InternalError);
  shape = shape_of(p.c);
  shape.sequence += 1;
  EXPECT_THROW(selective_scan_forward({.in = p.inputs(), .y = y.matrix()}, shape, {}),
               InternalError);
  Problem cut{{1, 256, 3, 4, true, true, false}, DType::f32};
  Inside long_y(zeros(cut.wide), 3, DType::f32);
  EXPECT_THROW(
      selective_scan_forward({.in = cut.inputs(), .y = long_y.matrix()}, shape_of(cut.c), {}),
      InternalError)
      << "no workspace";
}

}  // namespace
}  // namespace zt::kernels
