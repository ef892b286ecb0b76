#include "train/window.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace zt::train {
namespace {

constexpr std::int64_t kRows = 2, kLength = 4;

/// Every input and target is `value`, the last target of a row is -100.
data::MicroBatch micro_batch(std::int64_t value, std::int64_t samples = kRows) {
  data::MicroBatch micro;
  micro.batch = kRows;
  micro.sequence = kLength;
  micro.input_ids.assign(kRows * kLength, value);
  micro.labels.assign(kRows * kLength, value);
  for (std::size_t row = 1; row <= kRows; ++row) micro.labels[row * kLength - 1] = -100;
  micro.document_starts = {0, 3, 4, 8};
  micro.target_tokens = kRows * (kLength - 1);
  micro.samples = samples;
  return micro;
}

data::StepBatch step_of(int count) {
  data::StepBatch step;
  for (int i = 1; i <= count; ++i) {
    step.micro.push_back(micro_batch(i));
    step.target_tokens_local += step.micro.back().target_tokens;
  }
  return step;
}

WindowShape shape_of(int micro_steps, int coalesce) {
  return {{kRows, kLength, false}, micro_steps, coalesce};
}

TEST(WindowTest, ShortStepIsFilledWithBatchesWithoutTargets) {
  const auto window = make_window(step_of(2), shape_of(3, 1));
  ASSERT_EQ(window.batches.size(), 3u);
  EXPECT_EQ(window.targets, 12);
  EXPECT_EQ(window.tokens, 2 * kRows * kLength);
  EXPECT_EQ(window.batches[2].targets.max().item<std::int64_t>(), -100);
  EXPECT_EQ(window.batches[1].input_ids[0][0].item<std::int64_t>(), 2);
}

TEST(WindowTest, CoalescedBatchesAreStackedInOrder) {
  const auto window = make_window(step_of(3), shape_of(2, 2));
  ASSERT_EQ(window.batches.size(), 2u);
  const auto& ids = window.batches[0].input_ids;
  EXPECT_EQ(ids.size(0), 4);
  EXPECT_EQ(ids[1][0].item<std::int64_t>(), 1);
  EXPECT_EQ(ids[2][0].item<std::int64_t>(), 2);
  EXPECT_EQ(window.batches[1].targets[2][0].item<std::int64_t>(), -100);
}

TEST(WindowTest, RowsWithoutASampleAreNoTokens) {
  data::StepBatch step;
  step.micro.push_back(micro_batch(1, 1));
  EXPECT_EQ(make_window(step, shape_of(1, 1)).tokens, kLength);
}

TEST(WindowTest, PositionsRestartAtDocumentsOnlyWithTheMask) {
  const auto options = at::TensorOptions().dtype(at::kLong);
  const auto plain = to_batch(micro_batch(1), false);
  EXPECT_TRUE(at::equal(plain.position_ids[0], at::arange(4, options)));
  EXPECT_FALSE(plain.cu_seqlens.defined());
  const auto masked = to_batch(micro_batch(1), true);
  EXPECT_EQ(masked.position_ids[0][3].item<std::int64_t>(), 0);
  EXPECT_EQ(masked.position_ids[0][2].item<std::int64_t>(), 2);
  EXPECT_EQ(masked.position_ids[1][3].item<std::int64_t>(), 3);
  EXPECT_EQ(masked.cu_seqlens.numel(), 4);
}

TEST(WindowTest, StackedDocumentStartsStayIncreasing) {
  const layer::BatchShape shape{kRows, kLength, true};
  const auto joined = concat({filler_batch(shape), filler_batch(shape)});
  const auto expected = at::arange(0, 17, 4, at::TensorOptions().dtype(at::kInt));
  EXPECT_TRUE(at::equal(joined.cu_seqlens, expected));
}

TEST(WindowTest, AStepLongerThanAnEpochIsNamedWithWhatToDo) {
  const data::Sampler sampler({.num_samples = 8, .per_device_batch = 1, .max_steps = 2});
  EXPECT_EQ(short_epoch_warning(sampler, 8), "");
  const data::Sampler longer({.num_samples = 8, .per_device_batch = 1, .accumulation = 5});
  EXPECT_EQ(short_epoch_warning(longer, 5), "") << "the tail of an epoch may be short";
  const data::Sampler shorter(
      {.num_samples = 8, .per_device_batch = 1, .world = 2, .accumulation = 64});
  const auto text = short_epoch_warning(shorter, 64);
  EXPECT_EQ(text.find("an epoch has 4 batches per rank and a step takes "
                      "--gradient_accumulation_steps 64: every step runs 60 empty ones. Lower it "
                      "to 4"),
            0U)
      << text;
}

TEST(WindowTest, MoreBatchesThanTheEngineRunsIsABug) {
  EXPECT_THROW((void)make_window(step_of(3), shape_of(2, 1)), InternalError);
}

}  // namespace
}  // namespace zt::train
