#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "kernels/adamw/adamw.h"

/// Prints ns per parameter and GB/s of one fused AdamW pass with a bf16 copy, median of 15.
int main() {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kNumel = 32'000'000;
  std::vector<float> master(kNumel, 1.0F), exp_avg(kNumel), exp_avg_sq(kNumel), grad(kNumel, 0.1F);
  std::vector<std::uint16_t> param(kNumel);
  const auto fp32 = [](std::vector<float>& v) {
    return zt::View{v.data(), kNumel, zt::DType::f32};
  };
  const zt::kernels::AdamWSpans spans{fp32(master),
                                      fp32(exp_avg),
                                      fp32(exp_avg_sq),
                                      fp32(grad),
                                      {param.data(), kNumel, zt::DType::bf16}};
  float factor = 1.0F;
  std::vector<double> seconds;
  for (int i = 1; i <= 15; ++i) {
    const auto start = Clock::now();
    zt::kernels::adamw(spans, {.learning_rate = 1e-3, .step = i}, {&factor, 1, zt::DType::f32}, {});
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  std::printf("adamw fp32 states + bf16 copy: %.3f ns/parameter, %.1f GB/s (30 bytes/parameter)\n",
              median / kNumel * 1e9, 30.0 * kNumel / median / 1e9);
  return 0;
}
