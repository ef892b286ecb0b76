#include "kernels/grad_norm/grad_norm.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/test_vectors.h"
#include "kernels/grad_norm/grad_norm_ref.h"
#include "kernels/ordered_sum/ordered_sum.h"
#include "memory/host_pool.h"

namespace zt::kernels {
namespace {

using cpu::Bf16;
using cpu::F16;
using test::random_values;
using test::view_of;

View fp64(std::vector<double>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), DType::i64};
}

/// The documented order, element by element, in scalar code.
double contract_sum(const std::vector<float>& grad) {
  double totals[256] = {};
  const std::size_t chunks = (grad.size() + 1023) / 1024;
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    float lanes[256] = {};
    for (std::size_t i = chunk * 1024; i < std::min(grad.size(), chunk * 1024 + 1024); ++i) {
      lanes[i % 256] = std::fma(grad[i], grad[i], lanes[i % 256]);
    }
    for (std::size_t stride = 128; stride > 0; stride /= 2) {
      for (std::size_t lane = 0; lane < stride; ++lane) {
        lanes[lane] += lanes[lane + stride];
      }
    }
    totals[chunk % 256] += lanes[0];
  }
  for (std::size_t stride = 128; stride > 0; stride /= 2) {
    for (std::size_t lane = 0; lane < stride; ++lane) {
      totals[lane] += totals[lane + stride];
    }
  }
  return totals[0];
}

template <typename T>
void expect_sum(std::size_t numel) {
  std::vector<T> grad = random_values<T>(numel);
  std::vector<float> wide;
  for (const T value : grad) {
    wide.push_back(cpu::to_float(value));
  }
  std::vector<double> out(3, -1.0);
  sum_of_squares(view_of(grad), fp64(out), 1, {}, {});
  EXPECT_EQ(out[0], -1.0);
  EXPECT_EQ(out[1], contract_sum(wide));
  EXPECT_EQ(out[2], -1.0);
  const double exact = reference::sum_of_squares(wide);
  EXPECT_NEAR(out[1], exact, 12 * 6e-8 * exact);  // 12 fp32 additions of non-negative terms
}

class GradNormSizes : public testing::TestWithParam<std::size_t> {};

TEST_P(GradNormSizes, SumsInTheDocumentedOrder) {
  expect_sum<float>(GetParam());
  expect_sum<Bf16>(GetParam());
  expect_sum<F16>(GetParam());
}

INSTANTIATE_TEST_SUITE_P(OddSizes, GradNormSizes,
                         testing::Values(0, 1, 255, 257, 1023, 1024, 1025, 300'001));

TEST(GradNormTest, BitsDoNotDependOnTheNumberOfThreads) {
  std::vector<float> grad = random_values<float>(1'000'003);
  std::vector<double> out(4);
  for (const int threads : {1, 2, 3, 8}) {
    omp_set_num_threads(threads);
    sum_of_squares(view_of(grad), fp64(out), 0, {}, {});
    out[1] = threads == 1 ? out[0] : out[1];
    EXPECT_EQ(out[0], out[1]) << threads << " threads";
  }
  omp_set_num_threads(1);
}

struct Clip {
  double norm, factor;
  float grad_factor;
};

Clip clip(std::vector<double> partials, double max_norm, double inverse_scale) {
  std::vector<double> result(2);
  float factor = -1;
  clip_factor(fp64(partials), max_norm, {&inverse_scale, 1, DType::i64}, fp64(result),
              {&factor, 1, DType::f32}, {});
  return {result[0], result[1], factor};
}

TEST(ClipFactorTest, LargeNormIsScaledToTheLimit) {
  const Clip result = clip({9.0, 16.0}, 1.0, 1.0);
  EXPECT_EQ(result.norm, 5.0);
  EXPECT_EQ(result.factor, 1.0 / (5.0 + 1e-6));
  EXPECT_EQ(result.grad_factor, static_cast<float>(result.factor));
}

TEST(ClipFactorTest, SmallNormOnlyUnscales) {
  const Clip result = clip({4.0}, 3.0, 0.5);
  EXPECT_EQ(result.norm, 1.0);
  EXPECT_EQ(result.factor, 0.5);
}

TEST(ClipFactorTest, NoLimitOnlyUnscales) { EXPECT_EQ(clip({1e10}, 0.0, 0.25).factor, 0.25); }

TEST(ClipFactorTest, NonFiniteNormGivesNaN) {
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    for (const double max_norm : {0.0, 1.0}) {
      const Clip result = clip({1.0, bad}, max_norm, 1.0);
      EXPECT_TRUE(std::isnan(result.factor));
      EXPECT_TRUE(std::isnan(result.grad_factor));
    }
  }
}

TEST(SumOfSquaresTest, ThreadsOfAPoolGiveTheSameBits) {
  memory::HostPool pool(memory::host_topology(), 3);
  std::vector<Bf16> grad = random_values<Bf16>(1'000'003);
  std::vector<double> sums(2);
  sum_of_squares(view_of(grad), fp64(sums), 0, {}, {});
  sum_of_squares(view_of(grad), fp64(sums), 1, {}, Launch{.pool = &pool});
  EXPECT_EQ(sums[1], sums[0]);
}

}  // namespace
}  // namespace zt::kernels
