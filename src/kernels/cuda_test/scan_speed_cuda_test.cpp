// Prints the time of the selective scan and of the convolution at training sizes, with their share
// of what an H200 allows: exponentials (16 per clock and multiprocessor), fp32 instructions (128)
// and memory traffic.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/causal_conv1d/causal_conv1d.h"
#include "kernels/cuda_test/device_buffer.h"
#include "kernels/selective_scan/selective_scan.h"

namespace zt::kernels::cuda_test {
namespace {

constexpr double kClocks = 132 * 1.75e9;         ///< multiprocessor clocks per second
constexpr double kExponentials = 16 * kClocks;   ///< per second
constexpr double kInstructions = 128 * kClocks;  ///< fp32 lanes per second
constexpr DType kHalf = DType::bf16;

/// `exponentials` and `instructions` per (token, channel, state); `bytes` in all.
void report(const std::string& name, double seconds, double elements, double exponentials,
            double instructions, double bytes) {
  fmt::print("{:<44}{:>9.3f} ms{:>5.0f} % of exp{:>5.0f} % of fp32{:>5.0f} % of copy\n", name,
             seconds * 1e3, 100 * elements * exponentials / kExponentials / seconds,
             100 * elements * instructions / kInstructions / seconds,
             100 * bytes / kCopyRate / seconds);
  EXPECT_GT(elements * exponentials / kExponentials / seconds, 0.01) << name;
}

void scan_at(const ScanShape& s) {
  const Launch launch = device_launch();
  const std::int64_t tokens = s.batch * s.sequence, wide = tokens * s.channels;
  const Memory u(wide, kHalf), delta(wide, kHalf), xz(2 * wide, kHalf), y(wide, kHalf);
  const Memory bc(tokens * 2 * s.states, kHalf), grad_bc(tokens * 2 * s.states, kHalf);
  const Memory grad_y(wide, kHalf), grad_u(wide, kHalf), grad_delta(wide, kHalf);
  const Memory grad_xz(2 * wide, kHalf);
  Buffer a_log(normal(s.channels * s.states, 1, 0.7, 1.5), DType::f32);
  const Memory skip(s.channels, DType::f32), bias(s.channels, kHalf);
  const Memory states(scan_states(s), DType::f32);
  const Memory forward_space(scan_forward_workspace(s), DType::f32);
  const Memory space(scan_backward_workspace(s), DType::f32);
  const Memory grad_a(s.channels * s.states, DType::f32), grad_skip(s.channels, DType::f32);
  const Memory grad_bias(s.channels, DType::f32);
  const ScanInputs in{{u},
                      {delta},
                      columns_of(bc, 2 * s.states, 0),
                      columns_of(bc, 2 * s.states, s.states),
                      columns_of(xz, 2 * s.channels, s.channels),
                      a_log.device(),
                      skip,
                      bias,
                      View{}};
  const std::string size =
      fmt::format("{} x {} x {} x {}", s.batch, s.sequence, s.channels, s.states);
  const auto elements = static_cast<double>(wide * s.states), per_token = static_cast<double>(wide);
  const double saved = 4 * static_cast<double>(scan_states(s));
  const double forward = seconds_of([&] {
    selective_scan_forward({.in = in,
                            .y = {y},
                            .states = states,
                            .initial_state = {},
                            .final_state = {},
                            .workspace = forward_space},
                           s, launch);
  });
  report("selective_scan fwd " + size, forward, elements, 1 + 4.0 / 16, 4, 8 * per_token + saved);
  const double backward = seconds_of([&] {
    selective_scan_backward({.in = in,
                             .states = states,
                             .grad_y = {grad_y},
                             .grads = {{grad_u},
                                       {grad_delta},
                                       columns_of(grad_bc, 2 * s.states, 0),
                                       columns_of(grad_bc, 2 * s.states, s.states),
                                       columns_of(grad_xz, 2 * s.channels, s.channels),
                                       grad_a,
                                       grad_skip,
                                       grad_bias},
                             .y = {},
                             .workspace = space},
                            s, launch);
  });
  const double bytes = 14 * per_token + saved + 8 * static_cast<double>(scan_backward_workspace(s));
  report("selective_scan bwd " + size, backward, elements, 1.875 + 8.0 / 16, 17, bytes);
  fmt::print("{:<44}{:>9.3f} ms\n", "selective_scan fwd + bwd " + size, (forward + backward) * 1e3);
}

TEST(CudaScanSpeedTest, SelectiveScan) {
  for (const ScanShape& shape :
       {ScanShape{8, 2048, 4096, 16}, ScanShape{16, 2048, 4096, 16}, ScanShape{4, 2048, 4096, 16},
        ScanShape{16, 2048, 1536, 16}, ScanShape{4, 2048, 1536, 16}, ScanShape{1, 4096, 9728, 16},
        ScanShape{1, 2048, 4096, 16}, ScanShape{1, 2048, 1536, 16}}) {
    scan_at(shape);
  }
}

TEST(CudaScanSpeedTest, CausalConv1d) {
  const Launch launch = device_launch();
  for (const ConvShape& s : {ConvShape{8, 2048, 4096, 4}, ConvShape{16, 2048, 1536, 4}}) {
    const std::int64_t wide = s.batch * s.sequence * s.channels;
    const Memory xz(2 * wide, kHalf), y(wide, kHalf), grad_y(wide, kHalf), grad_xz(2 * wide, kHalf);
    const Memory weight(s.channels * s.width, kHalf), bias(s.channels, kHalf);
    const Memory grad_weight(s.channels * s.width, DType::f32), grad_bias(s.channels, DType::f32);
    const Memory space(conv_workspace(s), DType::f32);
    const ConvInputs in{columns_of(xz, 2 * s.channels, 0), weight, bias, View{}};
    const auto count = static_cast<double>(wide);
    const std::string size = fmt::format("{} x {} x {}", s.batch, s.sequence, s.channels);
    const double forward = seconds_of([&] {
      causal_conv1d_forward({.in = in, .y = {y}, .initial_inputs = {}, .final_inputs = {}}, s,
                            launch);
    });
    const double backward = seconds_of([&] {
      causal_conv1d_backward({.in = in,
                              .grad_y = {grad_y},
                              .grad_x = columns_of(grad_xz, 2 * s.channels, 0),
                              .grad_weight = grad_weight,
                              .grad_bias = grad_bias,
                              .workspace = space},
                             s, launch);
    });
    fmt::print("{:<44}{:>9.3f} ms{:>5.0f} % of copy\n", "causal_conv1d fwd " + size, forward * 1e3,
               100 * 4 * count / kCopyRate / forward);
    fmt::print("{:<44}{:>9.3f} ms{:>5.0f} % of copy\n", "causal_conv1d bwd " + size, backward * 1e3,
               100 * 6 * count / kCopyRate / backward);
    EXPECT_GT(4 * count / kCopyRate / forward, 0.05);
  }
}

}  // namespace
}  // namespace zt::kernels::cuda_test
