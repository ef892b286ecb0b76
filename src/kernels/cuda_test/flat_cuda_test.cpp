// Flat operations: the CUDA kernels give the bits of the CPU implementation.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "kernels/adamw/adamw.h"
#include "kernels/cast/cast.h"
#include "kernels/cuda_test/device_buffer.h"
#include "kernels/grad_norm/grad_norm.h"
#include "kernels/ordered_sum/ordered_sum.h"

namespace zt::kernels::cuda_test {
namespace {

constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16};
constexpr std::int64_t kSizes[] = {1, 7, 255, 1024, 1029, 70000};

/// Values over many sizes, with zeros, denormals and overflow of fp16.
std::vector<double> wide(std::int64_t count, unsigned seed) {
  auto values = normal(count, seed);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] *= std::ldexp(1.0, static_cast<int>(i % 61) - 40);
    if (i % 97 == 13) values[i] = 0;
    if (i % 101 == 17) values[i] = 70000;
  }
  return values;
}

TEST(CudaCastTest, GivesTheBitsOfTheCpuForEveryPairOfTypes) {
  for (const DType from : kFloats) {
    for (const DType to : kFloats) {
      for (const std::int64_t size : kSizes) {
        for (const std::int64_t shift : {0, 1}) {
          auto values = wide(size, 3);
          if (size > 7) {
            values[3] = std::numeric_limits<double>::infinity();
            values[5] = -std::numeric_limits<double>::infinity();
            if (from != to && to != DType::f32)
              values[6] = std::numeric_limits<double>::quiet_NaN();
          }
          Buffer in(values, from, shift);
          Buffer out(zeros(size), to, shift);
          cast(in.host(), out.host(), host_launch());
          cast(in.device(), out.device(), device_launch());
          ASSERT_EQ(out.device_bytes(), out.host_bytes())
              << to_string(from) << " to " << to_string(to) << " size " << size;
        }
      }
    }
  }
}

TEST(CudaCastTest, GathersStridedRowsLikeTheCpu) {
  struct Case {
    std::int64_t begin, stride, rows, count;
  };
  for (const Case c :
       {Case{0, 64, 8, 16}, Case{5, 33, 7, 11}, Case{8, 1000, 3, 1000}, Case{1, 3, 4, 9}}) {
    for (const DType to : kFloats) {
      Buffer in(normal(c.begin + (c.rows - 1) * c.stride + c.count, 5), DType::f32);
      Buffer out(zeros(c.rows * c.count), to);
      cast_strided(in.host(), c.begin, c.stride, c.rows, c.count, out.host(), host_launch());
      cast_strided(in.device(), c.begin, c.stride, c.rows, c.count, out.device(), device_launch());
      EXPECT_EQ(out.device_bytes(), out.host_bytes()) << c.stride << " " << to_string(to);
    }
  }
}

TEST(CudaCastTest, FillsWithZero) {
  Buffer buffer(normal(1001, 1), DType::bf16, 1);
  fill_zero(buffer.device(), device_launch());
  EXPECT_EQ(buffer.device_values(), zeros(1001));
}

/// Bytes of values with the same bits for every NaN: of inf - inf the host makes another one than
/// the device.
std::vector<std::byte> with_one_nan(std::vector<std::byte> bytes,
                                    const std::vector<double>& values) {
  const std::size_t width = values.empty() ? 0 : bytes.size() / values.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isnan(values[i])) continue;
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(i * width), width, std::byte{0xff});
  }
  return bytes;
}

TEST(CudaOrderedSumTest, GivesTheBitsOfTheCpu) {
  for (const DType wire : kFloats) {
    for (const DType to : kFloats) {
      for (const int world : {1, 2, 3, 8}) {
        for (const std::int64_t size : kSizes) {
          for (const bool accumulate : {false, true}) {
            Buffer parts(wide(size * world, 7), wire);
            Buffer out(normal(size, 8), to);
            ordered_sum(parts.device(), world, out.device(), accumulate, device_launch());
            ordered_sum(parts.host(), world, out.host(), accumulate, host_launch());
            // fp16 parts overflow to infinities of both signs.
            ASSERT_EQ(with_one_nan(out.device_bytes(), out.device_values()),
                      with_one_nan(out.host_bytes(), out.host_values()))
                << to_string(wire) << " to " << to_string(to) << " world " << world << " size "
                << size;
          }
        }
      }
    }
  }
}

struct AdamWCase {
  std::int64_t size, shift;
  DType param;
  bool l2;
  float factor;
};

void expect_adamw_equal(const AdamWCase& c) {
  Buffer master(normal(c.size, 1), DType::f32, c.shift);
  Buffer exp_avg(normal(c.size, 2, 0.01), DType::f32, c.shift);
  auto squares = normal(c.size, 3, 0.01);
  for (double& value : squares) value = value * value;
  Buffer exp_avg_sq(squares, DType::f32, c.shift);
  Buffer grad(wide(c.size, 4), DType::f32, c.shift);
  Buffer param(zeros(c.size), c.param, c.shift);
  Buffer factor({c.factor}, DType::f32);
  AdamWParams params;
  params.learning_rate = 3e-3;
  params.weight_decay = 0.1;
  params.l2 = c.l2;
  for (params.step = 1; params.step <= 3; ++params.step) {
    adamw({master.host(), exp_avg.host(), exp_avg_sq.host(), grad.host(), param.host()}, params,
          factor.host(), host_launch());
    adamw({master.device(), exp_avg.device(), exp_avg_sq.device(), grad.device(), param.device()},
          params, factor.device(), device_launch());
  }
  for (const Buffer* buffer : {&master, &exp_avg, &exp_avg_sq, &param}) {
    ASSERT_EQ(buffer->device_bytes(), buffer->host_bytes())
        << c.size << " shift " << c.shift << " " << to_string(c.param) << " l2 " << c.l2;
  }
}

TEST(CudaAdamWTest, GivesTheBitsOfTheCpu) {
  for (const std::int64_t size : kSizes) {
    for (const std::int64_t shift : {0, 3}) {
      for (const DType param : kFloats) {
        for (const bool l2 : {false, true}) {
          expect_adamw_equal({size, shift, param, l2, 0.37F});
        }
      }
    }
  }
}

TEST(CudaAdamWTest, WritesNothingWhenTheFactorIsNotFinite) {
  expect_adamw_equal({1000, 0, DType::bf16, false, std::numeric_limits<float>::quiet_NaN()});
  expect_adamw_equal({1000, 0, DType::bf16, false, std::numeric_limits<float>::infinity()});
}

TEST(CudaAdamWTest, UpdatesAParameterThatIsItsOwnMaster) {
  Buffer master(normal(1001, 1), DType::f32);
  Buffer exp_avg(zeros(1001), DType::f32);
  Buffer exp_avg_sq(zeros(1001), DType::f32);
  Buffer grad(normal(1001, 4), DType::f32);
  Buffer factor({1.0}, DType::f32);
  AdamWParams params;
  params.learning_rate = 1e-3;
  adamw({master.host(), exp_avg.host(), exp_avg_sq.host(), grad.host(), master.host()}, params,
        factor.host(), host_launch());
  adamw({master.device(), exp_avg.device(), exp_avg_sq.device(), grad.device(), master.device()},
        params, factor.device(), device_launch());
  EXPECT_EQ(master.device_bytes(), master.host_bytes());
}

TEST(CudaGradNormTest, GivesTheBitsOfTheCpu) {
  for (const DType dtype : kFloats) {
    for (const std::int64_t size :
         {0L, 1L, 255L, 1024L, 1025L, 3000L, 1024L * 256 + 17, 3000001L}) {
      for (const std::int64_t shift : {0, 1}) {
        Buffer grad(normal(size, 9, 1e-3), dtype, shift);
        Buffer out(zeros(3 * 2), DType::i64);  // room of fp64 [6]
        Buffer workspace(zeros((size + 1023) / 1024), DType::f32);
        View host = out.host();
        View device = out.device();
        sum_of_squares(grad.host(), host, 2, workspace.host(), host_launch());
        sum_of_squares(grad.device(), device, 2, workspace.device(), device_launch());
        ASSERT_EQ(out.device_bytes(), out.host_bytes())
            << to_string(dtype) << " size " << size << " shift " << shift;
      }
    }
  }
}

TEST(CudaGradNormTest, ClipFactorGivesTheBitsOfTheCpu) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double max_norm : {0.0, 0.5, 1e9}) {
    for (const double poison : {0.0, infinity}) {
      for (const std::size_t count : {1U, 5U, 1000U}) {
        std::vector<double> partials = normal(static_cast<std::int64_t>(count), 11);
        for (double& value : partials) value = value * value;
        partials.back() += poison;
        Buffer device_partials(zeros(static_cast<std::int64_t>(count)), DType::i64);
        std::memcpy(device_partials.host().data, partials.data(), 8 * count);
        device_partials.upload();
        Buffer result(zeros(2), DType::i64);
        Buffer factor(zeros(1), DType::f32);
        Buffer inverse_scale(zeros(1), DType::i64);
        *inverse_scale.host().as<double>() = 0.25;
        inverse_scale.upload();
        clip_factor(device_partials.host(), max_norm, inverse_scale.host(), result.host(),
                    factor.host(), host_launch());
        clip_factor(device_partials.device(), max_norm, inverse_scale.device(), result.device(),
                    factor.device(), device_launch());
        EXPECT_EQ(factor.device_bytes(), factor.host_bytes()) << max_norm << " " << count;
        if (poison == 0) {
          EXPECT_EQ(result.device_bytes(), result.host_bytes()) << max_norm << " " << count;
        }
      }
    }
  }
}

}  // namespace
}  // namespace zt::kernels::cuda_test

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  testing::InitGoogleTest(&argc, argv);
  if (!zt::kernels::cuda_test::has_device()) {
    std::puts("skipped: no CUDA device");
    return kSkipped;
  }
  return RUN_ALL_TESTS();
}
