#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels/selective_scan/selective_scan.h"

/// selective_scan_bench BATCH SEQUENCE CHANNELS STATES ROUNDS
///
/// Median milliseconds of the CPU's fp32 scan, forward and backward, on OMP_NUM_THREADS threads.
namespace {

using zt::DType;
using zt::View;
using zt::kernels::TokenMatrix;
using Clock = std::chrono::steady_clock;

std::vector<float> values(std::int64_t count, float low, float high) {
  std::vector<float> result(static_cast<std::size_t>(count));
  std::uint32_t state = 1;
  for (float& value : result) {
    state = state * 1664525U + 1013904223U;
    value = low + (high - low) * static_cast<float>(state >> 8) * 0x1p-24F;
  }
  return result;
}

View view_of(std::vector<float>& from) {
  return {from.data(), static_cast<std::int64_t>(from.size()), DType::f32};
}

template <typename Work>
double median_ms(int rounds, const Work& work) {
  std::vector<double> times;
  for (int round = 0; round <= rounds; ++round) {
    const auto start = Clock::now();
    work();
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  times.erase(times.begin());
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: selective_scan_bench BATCH SEQUENCE CHANNELS STATES ROUNDS\n");
    return 2;
  }
  const zt::kernels::ScanShape shape{std::atoll(argv[1]), std::atoll(argv[2]), std::atoll(argv[3]),
                                     std::atoll(argv[4])};
  const int rounds = std::atoi(argv[5]);
  const auto tokens = shape.batch * shape.sequence, wide = tokens * shape.channels;
  const auto thin = tokens * shape.states;
  auto u = values(wide, -1, 1), delta = values(wide, -5, 0), z = values(wide, -1, 1);
  auto b = values(thin, -1, 1), c = values(thin, -1, 1), grad_y = values(wide, -1, 1);
  auto a_log = values(shape.channels * shape.states, 0, 2.7F), skip = values(shape.channels, 0, 1);
  auto states = values(zt::kernels::scan_states(shape), 0, 0), y = u;
  auto space = values(zt::kernels::scan_backward_workspace(shape), 0, 0);
  auto forward_space = values(zt::kernels::scan_forward_workspace(shape), 0, 0);
  auto grad_u = u, grad_delta = u, grad_z = u, grad_b = b, grad_c = c, grad_a = a_log,
       grad_skip = skip;
  const zt::kernels::ScanInputs in{{view_of(u)},  {view_of(delta)}, {view_of(b)},
                                   {view_of(c)},  {view_of(z)},     view_of(a_log),
                                   view_of(skip), View{},           View{}};
  const double forward = median_ms(rounds, [&] {
    selective_scan_forward({.in = in,
                            .y = {view_of(y)},
                            .states = view_of(states),
                            .initial_state = {},
                            .final_state = {},
                            .workspace = view_of(forward_space)},
                           shape, {});
  });
  const double backward = median_ms(rounds, [&] {
    selective_scan_backward({.in = in,
                             .states = view_of(states),
                             .grad_y = {view_of(grad_y)},
                             .grads = {{view_of(grad_u)},
                                       {view_of(grad_delta)},
                                       {view_of(grad_b)},
                                       {view_of(grad_c)},
                                       {view_of(grad_z)},
                                       view_of(grad_a),
                                       view_of(grad_skip),
                                       View{}},
                             .y = {},
                             .workspace = view_of(space)},
                            shape, {});
  });
  std::printf("%.3f %.3f\n", forward, backward);
  return 0;
}
