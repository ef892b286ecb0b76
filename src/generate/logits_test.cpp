#include "generate/logits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace zt::generate {
namespace {

using Values = std::vector<float>;
using Ids = std::vector<std::int32_t>;

Values after_rules(const Settings& settings, const Ids& tokens, std::int64_t prompt,
                   Values logits) {
  apply_rules(settings, {tokens, prompt}, logits);
  return logits;
}

Values warped(const Settings& settings, Values logits) {
  apply_warpers(settings, logits);
  return logits;
}

TEST(LogitsTest, ARepeatedTokenLosesLogitOnEitherSideOfZero) {
  Settings settings;
  settings.repetition_penalty = 2;
  EXPECT_EQ(after_rules(settings, {0, 1, 0}, 1, {4, -3, 5}), (Values{2, -6, 5}));
}

TEST(LogitsTest, ANGramIsNotCompletedTwice) {
  Settings settings;
  settings.no_repeat_ngram_size = 3;
  // 1 2 was followed by 3; the sequence ends in 1 2 again.
  EXPECT_EQ(after_rules(settings, {1, 2, 3, 1, 2}, 5, {1, 1, 1, 1}), (Values{1, 1, 1, kNever}));
  EXPECT_EQ(after_rules(settings, {1, 2, 3, 2, 1}, 5, {1, 1, 1, 1}), (Values{1, 1, 1, 1}));
  settings.no_repeat_ngram_size = 1;
  EXPECT_EQ(after_rules(settings, {1, 3}, 2, {1, 1, 1, 1}), (Values{1, kNever, 1, kNever}));
}

TEST(LogitsTest, EosIsForbiddenUntilTheLeastLength) {
  Settings settings;
  settings.eos = {2};
  settings.min_new_tokens = 2;
  EXPECT_EQ(after_rules(settings, {0, 0, 1}, 2, {1, 1, 1})[2], kNever);
  EXPECT_EQ(after_rules(settings, {0, 0, 1, 1}, 2, {1, 1, 1})[2], 1);
  settings.min_new_tokens = 0;
  settings.min_length = 4;
  EXPECT_EQ(after_rules(settings, {0, 0, 1}, 2, {1, 1, 1})[2], kNever);
  EXPECT_EQ(after_rules(settings, {0, 0, 1, 1}, 2, {1, 1, 1})[2], 1);
}

TEST(LogitsTest, TokensAreSuppressedAlwaysOrAtTheBeginning) {
  Settings settings;
  settings.suppress_tokens = {0};
  settings.begin_suppress_tokens = {1};
  EXPECT_EQ(after_rules(settings, {2}, 1, {1, 1, 1}), (Values{kNever, kNever, 1}));
  EXPECT_EQ(after_rules(settings, {2, 2}, 1, {1, 1, 1}), (Values{kNever, 1, 1}));
}

TEST(LogitsTest, TopKKeepsTheLargestAndTheirEquals) {
  Settings settings;
  settings.top_k = 2;
  EXPECT_EQ(warped(settings, {1, 3, 2, 2, 0}), (Values{kNever, 3, 2, 2, kNever}));
  settings.top_k = 0;
  EXPECT_EQ(warped(settings, {1, 3, 2}), (Values{1, 3, 2}));
}

TEST(LogitsTest, TopPKeepsTheFewestTokensThatReachIt) {
  Settings settings;
  settings.top_k = 0;
  const Values half_quarter{std::log(0.5F), std::log(0.25F), std::log(0.15F), std::log(0.1F)};
  settings.top_p = 0.7;
  EXPECT_EQ(warped(settings, half_quarter),
            (Values{half_quarter[0], half_quarter[1], kNever, kNever}));
  settings.top_p = 1e-6;
  EXPECT_EQ(warped(settings, half_quarter), (Values{half_quarter[0], kNever, kNever, kNever}));
}

TEST(LogitsTest, MinPIsRelativeToTheMostProbable) {
  Settings settings;
  settings.top_k = 0;
  settings.min_p = 0.4;
  const Values logits{std::log(0.5F), std::log(0.3F), std::log(0.2F - 1e-3F)};
  EXPECT_EQ(warped(settings, logits), (Values{logits[0], logits[1], kNever}));
}

TEST(LogitsTest, TheFirstOfEqualLogitsIsTheLargest) {
  EXPECT_EQ(largest(Values{1, 4, 4, 2}), 1);
  EXPECT_EQ(largest(Values{kNever, kNever}), -1);
  EXPECT_EQ(largest(Values{1, std::nanf(""), 2}), -1);
}

TEST(LogitsTest, DrawsFollowTheSoftmax) {
  const std::vector<double> expected{0.5, 0.0, 0.3, 0.2};
  const Values logits{std::log(0.5F), kNever, std::log(0.3F), std::log(0.2F)};
  std::map<std::int64_t, int> counts;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) ++counts[draw(logits, uniform(7, i / 100, i % 100))];
  for (std::int64_t id = 0; id < 4; ++id) {
    const double p = expected[static_cast<std::size_t>(id)];
    // Five standard deviations of a binomial count.
    EXPECT_NEAR(counts[id], p * kDraws, 5 * std::sqrt(kDraws * p * (1 - p)) + 1e-9) << id;
  }
}

TEST(LogitsTest, TheEndsOfTheIntervalAreInsideTheDistribution) {
  const Values logits{kNever, 0, 0, kNever};
  EXPECT_EQ(draw(logits, 0.0), 1);
  EXPECT_EQ(draw(logits, std::nextafter(1.0, 0.0)), 2);
}

TEST(LogitsTest, UniformNumbersDifferBySeedSequenceAndPosition) {
  EXPECT_EQ(uniform(1, 2, 3), uniform(1, 2, 3));
  EXPECT_NE(uniform(1, 2, 3), uniform(2, 2, 3));
  EXPECT_NE(uniform(1, 2, 3), uniform(1, 3, 2));
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double value = uniform(5, i, 0);
    ASSERT_TRUE(value >= 0 && value < 1);
    sum += value;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.015);
}

}  // namespace
}  // namespace zt::generate
