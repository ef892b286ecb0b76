#include "kernels/adamw/adamw.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "kernels/adamw/adamw_ref.h"
#include "kernels/cpu/half.h"
#include "kernels/cpu/philox.h"
#include "kernels/cpu/simd_target.h"
#include "memory/host_pool.h"

namespace zt::kernels {
namespace {

View view_of(std::vector<float>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), DType::f32};
}

struct State {
  std::vector<float> master, exp_avg, exp_avg_sq, grad;
  [[nodiscard]] AdamWSpans spans(const View& param) {
    return {view_of(master), view_of(exp_avg), view_of(exp_avg_sq), view_of(grad), param};
  }
  [[nodiscard]] AdamWSpans spans() { return spans(view_of(master)); }
};

State random_state(std::size_t numel) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  State state;
  for (std::size_t i = 0; i < numel; ++i) {
    state.master.push_back(normal(generator));
    state.exp_avg.push_back(0.1F * normal(generator));
    state.exp_avg_sq.push_back(0.01F * std::abs(normal(generator)));
    state.grad.push_back(normal(generator));
  }
  return state;
}

void step(const AdamWSpans& spans, const AdamWParams& params, float factor) {
  adamw(spans, params, View{&factor, 1, DType::f32}, Launch{});
}

class AdamWSizes : public testing::TestWithParam<std::tuple<std::size_t, bool>> {};

template <typename Half>
void expect_contract(std::size_t numel, bool l2, DType half) {
  State state = random_state(numel);
  const State before = state;
  const AdamWParams params{.learning_rate = 1e-3, .weight_decay = 0.1, .l2 = l2, .step = 3};
  const float factor = 0.37F;
  std::vector<Half> rounded(numel);
  step(state.spans({rounded.data(), static_cast<std::int64_t>(numel), half}), params, factor);
  const AdamWScalars scalars = make_adamw_scalars(params);
  for (std::size_t i = 0; i < numel; ++i) {
    const auto expected =
        reference::adamw<float>({before.master[i], before.exp_avg[i], before.exp_avg_sq[i]},
                                before.grad[i], factor, scalars);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(state.master[i]),
              std::bit_cast<std::uint32_t>(expected.master))
        << i;
    ASSERT_EQ(state.exp_avg[i], expected.exp_avg) << i;
    ASSERT_EQ(state.exp_avg_sq[i], expected.exp_avg_sq) << i;
    ASSERT_EQ(rounded[i].bits, cpu::from_float<Half>(expected.master).bits) << i;
  }
}

TEST_P(AdamWSizes, EveryElementHasTheBitsOfTheScalarContract) {
  const auto [numel, l2] = GetParam();
  expect_contract<cpu::Bf16>(numel, l2, DType::bf16);
  expect_contract<cpu::F16>(numel, l2, DType::f16);
}

TEST_P(AdamWSizes, StaysWithinRoundingOfTheDoubleReference) {
  const auto [numel, l2] = GetParam();
  State state = random_state(numel);
  const State before = state;
  const AdamWParams params{.learning_rate = 1e-2, .weight_decay = 0.1, .l2 = l2, .step = 10};
  step(state.spans(), params, 1.0F);
  const AdamWScalars scalars = make_adamw_scalars(params);
  const double eps = std::numeric_limits<float>::epsilon();
  for (std::size_t i = 0; i < numel; ++i) {
    const auto expected = reference::adamw<double>(
        {before.master[i], before.exp_avg[i], before.exp_avg_sq[i]}, before.grad[i], 1.0, scalars);
    // Two roundings of p, ten of the update.
    const double update = std::abs(expected.master - before.master[i]);
    EXPECT_NEAR(state.master[i], expected.master,
                eps * (2 * std::abs(expected.master) + 10 * update + 1e-3));
  }
}

INSTANTIATE_TEST_SUITE_P(OddAndLarge, AdamWSizes,
                         testing::Combine(testing::Values(1, 7, 63, 1001, 100'003),
                                          testing::Bool()));

std::uint16_t bits_of(cpu::Bf16 value) { return value.bits; }
std::uint16_t bits_of(cpu::F16 value) { return value.bits; }
std::uint32_t bits_of(float value) {
  return std::isnan(value) ? 0x7fc00000U : std::bit_cast<std::uint32_t>(value);
}

/// One step with gradients of 16 bits and a copy, against the scalar contract.
template <typename Grad, typename Param>
void expect_half_contract(DType grad_dtype, DType param_dtype, memory::HostPool* pool) {
  constexpr std::size_t kNumel = (1U << 20) + 333;  // long enough for a streamed copy
  constexpr std::size_t kShift = 3;                 // the copy does not begin at a cache line
  State state = random_state(kNumel);
  state.master[5] = std::numeric_limits<float>::quiet_NaN();
  state.master[kNumel - 1] = 1e6F;  // infinite in fp16
  const State before = state;
  std::vector<Grad> grad;
  for (const float value : state.grad) grad.push_back(cpu::from_float<Grad>(value));
  std::vector<Param> rounded(kNumel + kShift);
  AdamWSpans spans =
      state.spans(View{rounded.data() + kShift, static_cast<std::int64_t>(kNumel), param_dtype});
  spans.grad = {grad.data(), static_cast<std::int64_t>(kNumel), grad_dtype};
  const AdamWParams params{.learning_rate = 1e-3, .weight_decay = 0.1, .step = 3};
  float factor = 0.37F;
  adamw(spans, params, View{&factor, 1, DType::f32}, Launch{.pool = pool});
  const AdamWScalars scalars = make_adamw_scalars(params);
  for (std::size_t i = 0; i < kNumel; ++i) {
    const auto expected =
        reference::adamw<float>({before.master[i], before.exp_avg[i], before.exp_avg_sq[i]},
                                cpu::to_float(grad[i]), factor, scalars);
    ASSERT_EQ(state.exp_avg[i], expected.exp_avg) << i;
    ASSERT_EQ(state.exp_avg_sq[i], expected.exp_avg_sq) << i;
    ASSERT_EQ(bits_of(rounded[i + kShift]), bits_of(cpu::from_float<Param>(expected.master))) << i;
    if (std::isnan(expected.master)) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(state.master[i]),
              std::bit_cast<std::uint32_t>(expected.master))
        << i;
  }
}

TEST(AdamWTest, HalfGradientsAndStreamedCopiesHaveTheBitsOfTheScalarContract) {
  expect_half_contract<cpu::Bf16, cpu::Bf16>(DType::bf16, DType::bf16, nullptr);
  expect_half_contract<cpu::F16, cpu::F16>(DType::f16, DType::f16, nullptr);
  expect_half_contract<cpu::Bf16, float>(DType::bf16, DType::f32, nullptr);
}

TEST(AdamWTest, ThreadsOfAPoolGiveTheSameBits) {
  memory::HostPool pool(memory::host_topology(), 3);
  expect_half_contract<cpu::Bf16, cpu::Bf16>(DType::bf16, DType::bf16, &pool);
}

/// Moments in bf16: the range cut at `cuts`, against the scalar contract with cpu::element_word.
void expect_rounded_moments(const std::vector<std::int64_t>& cuts, std::int64_t first,
                            memory::HostPool* pool) {
  const auto numel = cuts.back();
  State state = random_state(static_cast<std::size_t>(numel));
  std::vector<cpu::Bf16> m, v, grad;
  for (std::size_t i = 0; i < state.grad.size(); ++i) {
    m.push_back(cpu::from_float<cpu::Bf16>(state.exp_avg[i]));
    v.push_back(cpu::from_float<cpu::Bf16>(state.exp_avg_sq[i]));
    grad.push_back(cpu::from_float<cpu::Bf16>(state.grad[i]));
  }
  const auto m_before = m;
  const auto v_before = v;
  const State before = state;
  std::vector<cpu::Bf16> rounded(state.grad.size());
  const AdamWParams params{.learning_rate = 1e-3, .weight_decay = 0.1, .step = 7};
  float factor = 0.5F;
  for (std::size_t part = 1; part < cuts.size(); ++part) {
    const auto begin = cuts[part - 1];
    const auto count = cuts[part] - begin;
    const auto cut = [&](std::vector<cpu::Bf16>& values) {
      return View{values.data() + begin, count, DType::bf16};
    };
    adamw({view_of(state.master).slice(begin, count),
           cut(m),
           cut(v),
           cut(grad),
           cut(rounded),
           {.seed = 0x123456789abcdefULL, .first = first + begin}},
          params, View{&factor, 1, DType::f32}, Launch{.pool = pool});
  }
  const AdamWScalars scalars = make_adamw_scalars(params);
  for (std::size_t i = 0; i < state.grad.size(); ++i) {
    const auto expected = reference::adamw<float>(
        {before.master[i], cpu::to_float(m_before[i]), cpu::to_float(v_before[i])},
        cpu::to_float(grad[i]), factor, scalars);
    const auto word =
        cpu::element_word(0x123456789abcdefULL, 7, static_cast<std::uint64_t>(first) + i);
    ASSERT_EQ(state.master[i], expected.master) << i;
    ASSERT_EQ(m[i].bits, cpu::round_stochastic(expected.exp_avg, word & 0xffffU).bits) << i;
    ASSERT_EQ(v[i].bits, cpu::round_stochastic(expected.exp_avg_sq, word >> 16).bits) << i;
    ASSERT_EQ(rounded[i].bits, cpu::from_float<cpu::Bf16>(expected.master).bits) << i;
  }
}

TEST(AdamWTest, RoundedMomentsDependOnSeedStepAndElementOnly) {
  memory::HostPool pool(memory::host_topology(), 3);
  expect_rounded_moments({0, 1000}, 0, nullptr);
  expect_rounded_moments({0, 1, 64, 65, 300, 1000}, 0, nullptr);
  expect_rounded_moments({0, 77, 5000}, 1'000'003, &pool);
  expect_rounded_moments({0, (1 << 20) + 100}, 0, &pool);
  expect_rounded_moments({0, (1 << 20) + 100}, (std::int64_t{1} << 34) + 5, &pool);
}

TEST(PhiloxTest, HasThePublishedAnswers) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(cpu::philox({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(cpu::philox({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(cpu::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RoundStochasticTest, IsRightOnAverageAndKeepsSpecialValues) {
  const float value = 1.0F + 0.3F / 128;  // 0.3 of the way to the next bf16
  double sum = 0;
  constexpr int kDraws = 200'000;
  for (int i = 0; i < kDraws; ++i) {
    const auto word = cpu::element_word(9, 1, static_cast<std::uint64_t>(i));
    sum += static_cast<double>(cpu::to_float(cpu::round_stochastic(value, word & 0xffffU)));
  }
  // Standard error of a coin with p = 0.3 over 1/128.
  EXPECT_NEAR(sum / kDraws, static_cast<double>(value), 5 * std::sqrt(0.21 / kDraws) / 128);
  EXPECT_EQ(cpu::round_stochastic(std::numeric_limits<float>::infinity(), 65535).bits, 0x7f80);
  EXPECT_EQ(cpu::round_stochastic(std::numeric_limits<float>::quiet_NaN(), 65535).bits, 0x7fff);
  EXPECT_EQ(cpu::round_stochastic(-2.0F, 65535).bits, cpu::from_float<cpu::Bf16>(-2.0F).bits);
}

/// Second moments in bf16 with decay 0.999 stand still when they are rounded to the nearest.
TEST(AdamWTest, RoundedSecondMomentsFollowTheTrueOnes) {
  constexpr std::int64_t kNumel = 4096;
  std::vector<float> master(kNumel), grad(kNumel, 0.1F);
  std::vector<cpu::Bf16> m(kNumel), v(kNumel, cpu::from_float<cpu::Bf16>(0.05F));
  AdamWParams params{.learning_rate = 0};
  float factor = 1;
  double truth = 0.05;
  for (params.step = 1; params.step <= 300; ++params.step) {
    adamw({view_of(master),
           View{m.data(), kNumel, DType::bf16},
           View{v.data(), kNumel, DType::bf16},
           view_of(grad),
           view_of(master),
           {.seed = 3}},
          params, View{&factor, 1, DType::f32}, Launch{});
    truth = 0.999 * truth + 0.001 * 0.01;
  }
  double mean = 0;
  for (const auto value : v) mean += static_cast<double>(cpu::to_float(value)) / kNumel;
  EXPECT_NEAR(mean, truth, 0.005 * truth);
}

TEST(AdamWTest, ProcessorsWithFusedMultiplyAddHaveAVectorLoop) {
  const bool vectors = cpu::simd_target() != cpu::SimdTarget::scalar;
  EXPECT_EQ(adamw_simd_loop(DType::f32, DType::bf16, true, false) != nullptr, vectors);
}

TEST(AdamWTest, MisalignedSlicesGiveTheSameBits) {
  State whole = random_state(300);
  State sliced = whole;
  const AdamWParams params{.learning_rate = 1e-3, .weight_decay = 0.01};
  step(whole.spans(), params, 1.0F);
  const AdamWSpans all = sliced.spans();
  for (const auto& [begin, count] : {std::pair{0, 13}, std::pair{13, 200}, std::pair{213, 87}}) {
    step({all.master.slice(begin, count), all.exp_avg.slice(begin, count),
          all.exp_avg_sq.slice(begin, count), all.grad.slice(begin, count),
          all.master.slice(begin, count)},
         params, 1.0F);
  }
  EXPECT_EQ(whole.master, sliced.master);
  EXPECT_EQ(whole.exp_avg_sq, sliced.exp_avg_sq);
}

TEST(AdamWTest, NonFiniteFactorWritesNothing) {
  for (const float factor :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    State state = random_state(100);
    const State before = state;
    step(state.spans(), {.learning_rate = 1.0}, factor);
    EXPECT_EQ(state.master, before.master);
    EXPECT_EQ(state.exp_avg, before.exp_avg);
  }
}

TEST(AdamWTest, RejectsSpansOfDifferentLength) {
  State state = random_state(10);
  state.grad.pop_back();
  EXPECT_THROW(step(state.spans(), {}, 1.0F), InternalError);
}

TEST(AdamWTest, RejectsMomentsOfOtherOrMixedTypes) {
  State state = random_state(10);
  AdamWSpans spans = state.spans();
  spans.exp_avg.dtype = DType::f16;
  EXPECT_THROW(step(spans, {}, 1.0F), InternalError);
  spans.exp_avg.dtype = DType::bf16;  // and the other one is not
  EXPECT_THROW(step(spans, {}, 1.0F), InternalError);
}

TEST(AdamWTest, MatchesTorchOverFiveSteps) {
  std::ifstream file(ZT_SOURCE_DIR "/tests/golden/adamw.json");
  const auto golden = nlohmann::json::parse(file);
  ASSERT_EQ(golden.at("cases").size(), 3U);
  for (const auto& entry : golden.at("cases")) {
    State state;
    state.master = entry.at("start").get<std::vector<float>>();
    state.exp_avg.resize(state.master.size());
    state.exp_avg_sq.resize(state.master.size());
    AdamWParams params{.learning_rate = entry.at("lr"),
                       .beta1 = entry.at("betas")[0],
                       .beta2 = entry.at("betas")[1],
                       .epsilon = entry.at("eps"),
                       .weight_decay = entry.at("weight_decay"),
                       .l2 = entry.at("l2")};
    for (const auto& grad : entry.at("grads")) {
      state.grad = grad.get<std::vector<float>>();
      step(state.spans(), params, 1.0F);
      ++params.step;
    }
    const auto param = entry.at("param").get<std::vector<float>>();
    const auto exp_avg = entry.at("exp_avg").get<std::vector<float>>();
    const auto exp_avg_sq = entry.at("exp_avg_sq").get<std::vector<float>>();
    for (std::size_t i = 0; i < param.size(); ++i) {
      // Torch rounds in another order: a few units in the last place per step.
      EXPECT_NEAR(state.master[i], param[i], 2e-6 * (std::abs(param[i]) + params.learning_rate * 5))
          << entry.at("name") << " " << i;
      EXPECT_NEAR(state.exp_avg[i], exp_avg[i], 2e-6 * (std::abs(exp_avg[i]) + 1e-2));
      EXPECT_NEAR(state.exp_avg_sq[i], exp_avg_sq[i], 2e-6 * exp_avg_sq[i]);
    }
  }
}

TEST(AdamWTest, ScalarsInMemoryGiveTheBitsOfTheParams) {
  for (const bool l2 : {false, true}) {
    State from_params = random_state(37), from_memory = random_state(37);
    const AdamWParams params{.learning_rate = 3e-3, .weight_decay = 0.1, .l2 = l2, .step = 5};
    step(from_params.spans(), params, 0.5F);
    alignas(8) std::array<std::byte, kAdamWScalarBytes> scalars{};
    write_adamw_scalars(params, scalars.data());
    float factor = 0.5F;
    adamw(from_memory.spans(), View{scalars.data(), kAdamWScalarBytes, DType::u8}, l2,
          View{&factor, 1, DType::f32}, Launch{});
    EXPECT_EQ(from_memory.master, from_params.master);
    EXPECT_EQ(from_memory.exp_avg, from_params.exp_avg);
    EXPECT_EQ(from_memory.exp_avg_sq, from_params.exp_avg_sq);
    EXPECT_NE(from_memory.master, random_state(37).master);
  }
}

}  // namespace
}  // namespace zt::kernels
