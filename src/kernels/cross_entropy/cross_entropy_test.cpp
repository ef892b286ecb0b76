#include "kernels/cross_entropy/cross_entropy.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "kernels/cpu/test_values.h"
#include "kernels/cross_entropy/cross_entropy_ref.h"

namespace zt::kernels {
namespace {

using test::close;
using test::normal;
using test::tolerance;
using test::Values;
using test::zeros;

constexpr std::int64_t kVocabs[] = {1, 7, 33, 1000};

/// Targets of which every third counts nothing.
std::vector<double> some_targets(std::int64_t rows, std::int64_t vocab) {
  std::vector<double> targets;
  for (std::int64_t row = 0; row < rows; ++row) {
    targets.push_back(row % 3 == 2 ? -100.0 : static_cast<double>(row * 13 % vocab));
  }
  return targets;
}

void expect_reference(std::int64_t rows, std::int64_t vocab, DType dtype, double scale) {
  Values logits(normal(rows * vocab, 1, 5), dtype);
  Values targets(some_targets(rows, vocab), DType::i64);
  Values row_loss(zeros(rows), DType::f32);
  const auto in = logits.get();
  std::vector<double> losses;
  std::vector<double> grads;
  double sum = 100;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::vector<double> one(in.begin() + row * vocab, in.begin() + (row + 1) * vocab);
    const double target = targets.get()[static_cast<std::size_t>(row)];
    const bool counts = target >= 0;
    losses.push_back(counts ? reference::row_loss(one, static_cast<std::size_t>(target)) : 0.0);
    sum += losses.back();
    const auto grad =
        counts ? reference::row_grad(one, static_cast<std::size_t>(target), scale) : zeros(vocab);
    grads.insert(grads.end(), grad.begin(), grad.end());
  }
  double loss_sum = 100;
  cross_entropy({.logits = logits.view(),
                 .targets = targets.view(),
                 .grad = logits.view(),
                 .row_loss = row_loss.view(),
                 .loss_sum = {&loss_sum, 1, DType::i64}},
                rows, vocab, scale, {});
  const double limit = tolerance(dtype, 1, 0) + tolerance(DType::f32, 24, vocab);
  EXPECT_TRUE(close(row_loss, losses, tolerance(DType::f32, 8, vocab))) << rows << "x" << vocab;
  EXPECT_TRUE(close(logits, grads, limit)) << rows << "x" << vocab << " grad over logits";
  EXPECT_NEAR(loss_sum, sum, 1e-5 * sum);
}

TEST(CrossEntropyTest, LossAndGradientMatchTheReferenceInPlace) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const auto vocab : kVocabs) expect_reference(11, vocab, dtype, 0.25);
  }
}

TEST(CrossEntropyTest, LossAloneLeavesTheLogits) {
  Values logits(normal(4 * 19, 1, 30), DType::f32);
  const auto before = logits.bytes();
  Values targets({1, 18, -100, 0}, DType::i64);
  Values row_loss(zeros(4), DType::f32);
  double loss_sum = 0;
  cross_entropy({.logits = logits.view(),
                 .targets = targets.view(),
                 .grad = {},
                 .row_loss = row_loss.view(),
                 .loss_sum = {&loss_sum, 1, DType::i64}},
                4, 19, 0, {});
  EXPECT_EQ(logits.bytes(), before);
  EXPECT_EQ(row_loss.get()[2], 0);
  EXPECT_GT(loss_sum, 0);
}

TEST(CrossEntropyTest, HugeLogitsDoNotOverflowAndNonFiniteOnesShow) {
  Values logits({1e30, -1e30, 1e30, 0, std::nan(""), 1}, DType::f32);
  Values targets({0, 1}, DType::i64);
  Values row_loss(zeros(2), DType::f32);
  double loss_sum = 0;
  cross_entropy({.logits = logits.view(),
                 .targets = targets.view(),
                 .grad = logits.view(),
                 .row_loss = row_loss.view(),
                 .loss_sum = {&loss_sum, 1, DType::i64}},
                2, 3, 1, {});
  EXPECT_TRUE(std::isfinite(row_loss.get()[0]));
  EXPECT_TRUE(std::isnan(row_loss.get()[1]));
  EXPECT_TRUE(std::isnan(loss_sum));
  EXPECT_TRUE(std::isnan(logits.get()[3]));
}

TEST(CrossEntropyTest, BitsDoNotDependOnTheNumberOfThreads) {
  std::vector<std::vector<std::uint8_t>> grads;
  std::vector<double> sums;
  for (const int threads : {1, 3}) {
    omp_set_num_threads(threads);
    Values logits(normal(50 * 111, 1, 5), DType::f32);
    Values targets(some_targets(50, 111), DType::i64);
    Values row_loss(zeros(50), DType::f32);
    double loss_sum = 0;
    cross_entropy({.logits = logits.view(),
                   .targets = targets.view(),
                   .grad = logits.view(),
                   .row_loss = row_loss.view(),
                   .loss_sum = {&loss_sum, 1, DType::i64}},
                  50, 111, 0.5, {});
    grads.push_back(logits.bytes());
    sums.push_back(loss_sum);
  }
  omp_set_num_threads(1);
  EXPECT_EQ(grads[0], grads[1]);
  EXPECT_EQ(sums[0], sums[1]);
}

TEST(CrossEntropyTest, AScaleInMemoryTakesThePlaceOfTheArgument) {
  const std::int64_t rows = 5, vocab = 33;
  const auto gradient = [&](double argument, float* in_memory) {
    Values logits(normal(rows * vocab, 1, 5), DType::f32);
    Values targets(some_targets(rows, vocab), DType::i64);
    Values row_loss(zeros(rows), DType::f32);
    double loss_sum = 0;
    cross_entropy({.logits = logits.view(),
                   .targets = targets.view(),
                   .grad = logits.view(),
                   .row_loss = row_loss.view(),
                   .loss_sum = {&loss_sum, 1, DType::i64},
                   .scale = in_memory != nullptr ? View{in_memory, 1, DType::f32} : View{}},
                  rows, vocab, argument, {});
    return logits.get();
  };
  float scale = 0.25F;
  EXPECT_EQ(gradient(7.0, &scale), gradient(0.25, nullptr));
  EXPECT_NE(gradient(7.0, &scale), gradient(7.0, nullptr));
}

}  // namespace
}  // namespace zt::kernels
