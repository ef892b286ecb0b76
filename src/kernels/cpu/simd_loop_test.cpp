#include "kernels/cpu/simd_loop.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <vector>

#include "kernels/cpu/half.h"

namespace zt::kernels::cpu {
namespace {

/// The operations that kernels use: fma, division, square root, rounding to 16 bits.
struct Mixed {
  const float* in;
  float* out;
  Bf16* bf16;
  F16* f16;
  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = begin; i < end; ++i) {
      const float x = in[i];
      const float y = __builtin_fmaf(x, x, 1e-3F) / (__builtin_sqrtf(x * x) + 1e-8F);
      out[i] = y;
      bf16[i] = from_float<Bf16>(y);
      f16[i] = from_float<F16>(x * 1e-4F);
    }
  }
};

struct Result {
  std::vector<std::uint32_t> out;
  std::vector<std::uint16_t> bf16, f16;
  bool operator==(const Result&) const = default;
};

Result run(Isa isa, const std::vector<float>& in) {
  std::vector<float> out(in.size());
  std::vector<Bf16> bf16(in.size());
  std::vector<F16> f16(in.size());
  run_isa(isa, Mixed{in.data(), out.data(), bf16.data(), f16.data()}, 0,
          static_cast<std::int64_t>(in.size()));
  Result result;
  for (std::size_t i = 0; i < in.size(); ++i) {
    result.out.push_back(std::bit_cast<std::uint32_t>(out[i]));
    result.bf16.push_back(bf16[i].bits);
    result.f16.push_back(f16[i].bits);
  }
  return result;
}

TEST(SimdLoopTest, EveryInstructionSetGivesTheSameBits) {
  std::mt19937 generator(9);
  std::normal_distribution<float> normal;
  std::vector<float> in;
  for (int i = 0; i < 10'007; ++i) {
    in.push_back(normal(generator));
  }
  const Result baseline = run(Isa::baseline, in);
  if (host_isa() == Isa::baseline) {
    GTEST_SKIP() << "this processor has neither AVX2 nor AVX-512";
  }
  EXPECT_EQ(run(Isa::avx2, in), baseline);
  if (host_isa() == Isa::avx512) {
    EXPECT_EQ(run(Isa::avx512, in), baseline);
  }
}

/// Marks what it visits.
struct Count {
  int* visits;
  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = begin; i < end; ++i) {
      ++visits[i];
    }
  }
};

TEST(SimdLoopTest, VisitsEveryElementOnceForOddSizes) {
  for (const std::size_t size : {0U, 1U, 99U, 100U, 101U, 1234U}) {
    std::vector<int> visits(size);
    simd_loop(Count{visits.data()}, static_cast<std::int64_t>(size), 100);
    EXPECT_EQ(visits, std::vector<int>(size, 1));
  }
}

}  // namespace
}  // namespace zt::kernels::cpu
