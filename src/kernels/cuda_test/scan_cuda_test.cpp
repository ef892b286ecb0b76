// The selective scan and the causal convolution: CUDA against the CPU implementation, which its own
// tests hold to a 64-bit reference. Every device call is made twice and must give the same bits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/causal_conv1d/causal_conv1d.h"
#include "kernels/cuda_test/device_buffer.h"
#include "kernels/cuda_test/run_everywhere.h"
#include "kernels/selective_scan/selective_scan.h"

namespace zt::kernels::cuda_test {
namespace {

constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16};

/// The largest error, relative to the wanted value or, where that is larger, to the root mean
/// square of all wanted values.
double error_of(const Buffer& buffer) {
  const auto got = buffer.device_values();
  const auto want = buffer.host_values();
  double squares = 0, largest = 0;
  for (const double value : want) squares += value * value;
  const double mean =
      std::sqrt(squares / static_cast<double>(std::max<std::size_t>(want.size(), 1)) + 1e-300);
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double error = std::abs(got[i] - want[i]) / std::max(std::abs(want[i]), mean);
    largest = error > largest || std::isnan(error) ? error : largest;
  }
  return largest;
}

struct ScanCase {
  std::int64_t batch, sequence, channels, states, shift;
  bool gate, bias, resets;
};
/// Up to 192 tokens are scanned whole, the other cases in segments of one chunk or, with many rows,
/// of two or three.
constexpr ScanCase kScanCases[] = {
    {1, 1, 1, 1, 0, true, true, false},      {2, 7, 3, 5, 1, true, true, true},
    {1, 65, 17, 16, 0, true, true, true},    {2, 130, 96, 16, 1, false, true, false},
    {1, 64, 64, 16, 0, true, true, false},   {1, 128, 128, 16, 0, true, true, false},
    {3, 64, 300, 4, 0, true, false, true},   {1, 100, 40, 33, 0, true, true, false},
    {1, 90, 40, 20, 0, true, true, true},    {2, 70, 500, 3, 0, true, true, true},
    {1, 200, 70, 64, 0, true, true, true},   {2, 300, 130, 16, 0, false, false, true},
    {1, 1111, 17, 16, 1, true, true, false}, {1, 193, 65, 5, 0, true, false, true},
    {66, 700, 1, 16, 0, true, true, true},   {40, 1000, 2, 3, 1, true, false, true},
    {33, 645, 33, 17, 0, false, true, true}, {66, 577, 3, 16, 1, true, true, false}};

struct Scan {
  ScanCase c;
  DType dtype;
  ScanShape shape{c.batch, c.sequence, c.channels, c.states};
  std::int64_t tokens = c.batch * c.sequence, wide = tokens * c.channels;
  std::int64_t columns = 2 * c.states + 3;  ///< of the matrix that holds b and c
  /// Small steps in long sequences, so that a state outlives a segment.
  double mean_delta = c.sequence > 192 ? -5 : -2;
  Buffer u{normal(wide, 1), dtype, c.shift}, delta{normal(wide, 2, 1, mean_delta), dtype, c.shift};
  Buffer bc{normal(tokens * columns, 3), dtype};
  Buffer xz{normal(2 * wide, 4), dtype, c.shift};
  Buffer a_log{normal(c.channels * c.states, 5, 0.7, 0.5), DType::f32};
  Buffer skip{normal(c.channels, 6), DType::f32};
  Buffer bias{normal(c.bias ? c.channels : 0, 7), dtype};
  Buffer positions{make_positions(), DType::i64};
  Buffer y{zeros(wide), dtype, c.shift}, states{zeros(scan_states(shape)), DType::f32};
  Buffer final_state{normal(c.batch * c.channels * c.states, 8), DType::f32};
  Buffer space{unset(scan_forward_workspace(shape)), DType::f32};

  static std::vector<double> unset(std::int64_t count) {
    return std::vector<double>(static_cast<std::size_t>(count), std::nan(""));
  }
  /// Documents start every few tokens; after token 192 only at the last, first and second token of
  /// chunks 3, 5 and 7, or one or two tokens later in rows 1 and 2 of 3, so that segments without
  /// a start lie between.
  [[nodiscard]] std::vector<double> make_positions() const {
    std::vector<double> result;
    for (std::int64_t i = 0; c.resets && i < tokens; ++i) {
      const auto t = i % c.sequence, later = i / c.sequence % 3;
      std::int64_t start =
          t < 5 ? 0 : (t < 64 ? 5 : 64 + (std::min<std::int64_t>(t, 192) - 64) / 41 * 41);
      for (const std::int64_t sparse : {255, 320, 449}) {
        if (t >= sparse + later) start = sparse + later;
      }
      result.push_back(static_cast<double>(t - start));
    }
    return result;
  }
  ScanInputs inputs(bool on) {
    return {{side(u, on)},
            {side(delta, on)},
            columns_of(side(bc, on), columns, 3),
            columns_of(side(bc, on), columns, 3 + c.states),
            c.gate ? columns_of(side(xz, on), 2 * c.channels, c.channels) : TokenMatrix{},
            side(a_log, on),
            side(skip, on),
            side(bias, on),
            side(positions, on)};
  }
  void forward(bool on, bool continued = false) {
    selective_scan_forward({.in = inputs(on),
                            .y = {side(y, on)},
                            .states = side(states, on),
                            .initial_state = continued ? side(final_state, on) : View{},
                            .final_state = side(final_state, on),
                            .workspace = side(space, on)},
                           shape, where(on));
  }
};

std::string name_of(const ScanCase& c) {
  return fmt::format("{} x {} x {} x {} ", c.batch, c.sequence, c.channels, c.states);
}
double limit_of(DType dtype) { return dtype == DType::f32 ? 4e-5 : 8 * unit(dtype); }

TEST(CudaSelectiveScanTest, ForwardMatchesTheCpu) {
  for (const DType dtype : kFloats) {
    for (const ScanCase& c : kScanCases) {
      for (const bool continued : {false, true}) {
        Scan scan{c, dtype};
        SCOPED_TRACE(testing::Message()
                     << name_of(c) << to_string(dtype) << (continued ? " from a state" : ""));
        run_everywhere({&scan.y, &scan.states, &scan.final_state},
                       [&](bool on) { scan.forward(on, continued); });
        EXPECT_LE(error_of(scan.y), limit_of(dtype));
        EXPECT_LE(error_of(scan.states), 4e-5);
        EXPECT_LE(error_of(scan.final_state), 4e-5);
      }
    }
  }
}

TEST(CudaSelectiveScanTest, EveryGradientMatchesTheCpu) {
  for (const DType dtype : kFloats) {
    for (const ScanCase& c : kScanCases) {
      Scan scan{c, dtype};
      scan.forward(false);
      scan.states.upload();
      Buffer grad_y(normal(scan.wide, 11), dtype, c.shift);
      Buffer grad_u(zeros(scan.wide), dtype, c.shift), grad_delta(zeros(scan.wide), dtype);
      Buffer grad_bc(zeros(scan.tokens * scan.columns), dtype);
      Buffer grad_xz(zeros(2 * scan.wide), dtype, c.shift), y(zeros(scan.wide), dtype);
      Buffer grad_a(normal(c.channels * c.states, 12), DType::f32);
      Buffer grad_skip(normal(c.channels, 13), DType::f32);
      Buffer grad_bias(normal(c.bias ? c.channels : 0, 14), dtype);
      Buffer space(Scan::unset(scan_backward_workspace(scan.shape)), DType::f32);
      SCOPED_TRACE(testing::Message() << name_of(c) << to_string(dtype));
      const std::vector<Buffer*> outputs = {&grad_u, &grad_delta, &grad_bc,   &grad_xz,
                                            &y,      &grad_a,     &grad_skip, &grad_bias};
      run_everywhere(outputs, [&](bool on) {
        selective_scan_backward(
            {.in = scan.inputs(on),
             .states = side(scan.states, on),
             .grad_y = {side(grad_y, on)},
             .grads = {{side(grad_u, on)},
                       {side(grad_delta, on)},
                       columns_of(side(grad_bc, on), scan.columns, 3),
                       columns_of(side(grad_bc, on), scan.columns, 3 + c.states),
                       c.gate ? columns_of(side(grad_xz, on), 2 * c.channels, c.channels)
                              : TokenMatrix{},
                       side(grad_a, on),
                       side(grad_skip, on),
                       side(grad_bias, on)},
             .y = {side(y, on)},
             .workspace = side(space, on)},
            scan.shape, where(on));
      });
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        const bool own = outputs[i] == &grad_a || outputs[i] == &grad_skip;
        EXPECT_LE(error_of(*outputs[i]), limit_of(own ? DType::f32 : dtype)) << "output " << i;
      }
    }
  }
}

/// Every gradient of a scan whose gradients of delta, b and c lie over their inputs, or beside
/// them.
std::vector<std::vector<std::byte>> gradients(const ScanCase& c, bool over_inputs) {
  Scan scan{c, DType::bf16};
  scan.forward(true);
  Buffer grad_y(normal(scan.wide, 11), DType::bf16), grad_u(zeros(scan.wide), DType::bf16);
  Buffer grad_delta(zeros(scan.wide), DType::bf16), grad_xz(zeros(2 * scan.wide), DType::bf16);
  Buffer grad_bc(normal(scan.tokens * scan.columns, 3), DType::bf16);
  Buffer grad_a(zeros(c.channels * c.states), DType::f32), grad_skip(zeros(c.channels), DType::f32);
  Buffer space(Scan::unset(scan_backward_workspace(scan.shape)), DType::f32);
  Buffer& delta = over_inputs ? scan.delta : grad_delta;
  Buffer& bc = over_inputs ? scan.bc : grad_bc;
  selective_scan_backward({.in = scan.inputs(true),
                           .states = scan.states.device(),
                           .grad_y = {grad_y.device()},
                           .grads = {{grad_u.device()},
                                     {delta.device()},
                                     columns_of(bc.device(), scan.columns, 3),
                                     columns_of(bc.device(), scan.columns, 3 + c.states),
                                     columns_of(grad_xz.device(), 2 * c.channels, c.channels),
                                     grad_a.device(),
                                     grad_skip.device(),
                                     View{}},
                           .y = columns_of(grad_xz.device(), 2 * c.channels, 0),
                           .workspace = space.device()},
                          scan.shape, device_launch());
  return {grad_u.device_bytes(),  delta.device_bytes(),  bc.device_bytes(),
          grad_xz.device_bytes(), grad_a.device_bytes(), grad_skip.device_bytes()};
}

TEST(CudaSelectiveScanTest, GradientsMayLieOverTheirInputs) {
  for (const ScanCase& c : {ScanCase{2, 130, 96, 16, 0, true, true, true},
                            ScanCase{1, 450, 96, 16, 0, true, true, false},
                            ScanCase{66, 700, 1, 16, 0, true, true, true}}) {
    EXPECT_EQ(gradients(c, true), gradients(c, false)) << name_of(c);
  }
}

TEST(CudaSelectiveScanTest, StepsContinueTheSequence) {
  const ScanCase c{2, 9, 40, 16, 0, true, true, false};
  Scan whole{c, DType::bf16};
  whole.forward(true);
  Buffer state(zeros(c.batch * c.channels * c.states), DType::f32);
  const auto want = whole.y.device_values();
  const auto take = [&](const Buffer& from, std::int64_t width, std::int64_t t) {
    std::vector<double> result;
    const auto all = from.host_values();
    for (std::int64_t row = 0; row < c.batch; ++row) {
      const auto begin = all.begin() + (row * c.sequence + t) * width;
      result.insert(result.end(), begin, begin + width);
    }
    return result;
  };
  for (std::int64_t t = 0; t < c.sequence; ++t) {
    Buffer u(take(whole.u, c.channels, t), DType::bf16);
    Buffer delta(take(whole.delta, c.channels, t), DType::bf16);
    Buffer bc(take(whole.bc, whole.columns, t), DType::bf16);
    Buffer xz(take(whole.xz, 2 * c.channels, t), DType::bf16);
    Buffer y(zeros(c.batch * c.channels), DType::bf16);
    selective_scan_step({{u.device()},
                         {delta.device()},
                         columns_of(bc.device(), whole.columns, 3),
                         columns_of(bc.device(), whole.columns, 3 + c.states),
                         columns_of(xz.device(), 2 * c.channels, c.channels),
                         whole.a_log.device(),
                         whole.skip.device(),
                         whole.bias.device(),
                         View{}},
                        {y.device()}, state.device(), whole.shape, device_launch());
    const auto got = y.device_values();
    for (std::int64_t row = 0; row < c.batch; ++row) {
      for (std::int64_t d = 0; d < c.channels; ++d) {
        ASSERT_EQ(got[static_cast<std::size_t>(row * c.channels + d)],
                  want[static_cast<std::size_t>((row * c.sequence + t) * c.channels + d)])
            << t;
      }
    }
  }
}

struct ConvCase {
  std::int64_t batch, sequence, channels, width, shift;
  bool bias, resets;
};
constexpr ConvCase kConvCases[] = {{1, 1, 1, 4, 0, true, false},    {2, 7, 3, 1, 1, true, true},
                                   {1, 65, 17, 4, 0, true, true},   {2, 130, 36, 3, 0, false, true},
                                   {3, 64, 700, 4, 0, true, false}, {1, 3, 20, 8, 0, true, true},
                                   {2, 200, 512, 4, 1, true, true}, {1, 300, 128, 4, 0, true, true},
                                   {1, 100, 24, 6, 0, true, true}};

struct Conv {
  ConvCase c;
  DType dtype;
  ConvShape shape{c.batch, c.sequence, c.channels, c.width};
  std::int64_t tokens = c.batch * c.sequence, wide = tokens * c.channels;
  Buffer xz{normal(2 * wide, 1), dtype, c.shift};
  Buffer weight{normal(c.channels * c.width, 2, 0.5), dtype};
  Buffer bias{normal(c.bias ? c.channels : 0, 3), DType::f32};
  Buffer positions{make_positions(), DType::i64};

  [[nodiscard]] std::vector<double> make_positions() const {
    std::vector<double> result;
    for (std::int64_t i = 0; c.resets && i < tokens; ++i) {
      const auto t = i % c.sequence;
      result.push_back(static_cast<double>(t < 2 ? t : (t < 63 ? t - 2 : (t - 63) % 5)));
    }
    return result;
  }
  ConvInputs inputs(bool on) {
    return {columns_of(side(xz, on), 2 * c.channels, 0), side(weight, on), side(bias, on),
            side(positions, on)};
  }
};

TEST(CudaCausalConv1dTest, ForwardMatchesTheCpu) {
  for (const DType dtype : kFloats) {
    for (const ConvCase& c : kConvCases) {
      Conv conv{c, dtype};
      Buffer y(zeros(conv.wide), dtype);
      Buffer history(normal(c.batch * (c.width - 1) * c.channels, 4), dtype);
      SCOPED_TRACE(testing::Message() << c.sequence << " x " << c.channels << " x " << c.width);
      run_everywhere({&y, &history}, [&](bool on) {
        causal_conv1d_forward({.in = conv.inputs(on),
                               .y = {side(y, on)},
                               .initial_inputs = side(history, on),
                               .final_inputs = side(history, on)},
                              conv.shape, where(on));
      });
      EXPECT_LE(error_of(y), limit_of(dtype));
      EXPECT_EQ(history.device_bytes(), history.host_bytes());
    }
  }
}

TEST(CudaCausalConv1dTest, EveryGradientMatchesTheCpu) {
  for (const DType dtype : kFloats) {
    for (const ConvCase& c : kConvCases) {
      Conv conv{c, dtype};
      Buffer grad_y(normal(conv.wide, 5), dtype), grad_xz(zeros(2 * conv.wide), dtype, c.shift);
      Buffer grad_weight(normal(c.channels * c.width, 6), dtype);
      Buffer grad_bias(normal(c.bias ? c.channels : 0, 7), DType::f32);
      Buffer space(zeros(conv_workspace(conv.shape)), DType::f32);
      SCOPED_TRACE(testing::Message() << c.sequence << " x " << c.channels << " x " << c.width);
      run_everywhere({&grad_xz, &grad_weight, &grad_bias}, [&](bool on) {
        causal_conv1d_backward({.in = conv.inputs(on),
                                .grad_y = {side(grad_y, on)},
                                .grad_x = columns_of(side(grad_xz, on), 2 * c.channels, 0),
                                .grad_weight = side(grad_weight, on),
                                .grad_bias = side(grad_bias, on),
                                .workspace = side(space, on)},
                               conv.shape, where(on));
      });
      EXPECT_LE(error_of(grad_xz), limit_of(dtype));
      EXPECT_LE(error_of(grad_weight), limit_of(dtype));
      EXPECT_LE(error_of(grad_bias), limit_of(DType::f32));
    }
  }
}

}  // namespace
}  // namespace zt::kernels::cuda_test
