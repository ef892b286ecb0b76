#include "train/window.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

namespace zt::train {
namespace {

/// Batch `index` has every input and target equal to index + 1, the last target of a row is -100.
class CountingSource : public BatchSource {
 public:
  explicit CountingSource(layer::BatchShape shape) : shape_(shape) {}
  [[nodiscard]] std::int64_t batches() const override { return 5; }
  [[nodiscard]] std::int64_t samples() const override { return 5 * shape_.batch; }
  [[nodiscard]] layer::Batch read(std::int64_t, std::int64_t index) override {
    auto batch = filler_batch(shape_);
    batch.input_ids.fill_(index + 1);
    batch.targets.fill_(index + 1);
    batch.targets.slice(1, shape_.sequence - 1).fill_(-100);
    return batch;
  }

 private:
  layer::BatchShape shape_;
};

TEST(WindowTest, ShortWindowIsFilledWithBatchesWithoutTargets) {
  const layer::BatchShape shape{.batch = 2, .sequence = 4};
  CountingSource source(shape);
  const auto window = read_window(source, {.micro_batch = shape, .micro_steps = 3}, 0, 3, 2);
  ASSERT_EQ(window.batches.size(), 3u);
  EXPECT_EQ(window.targets, 2 * 2 * 3);
  EXPECT_EQ(window.tokens, 2 * 8);
  EXPECT_EQ(count_targets(window.batches[2]), 0);
  EXPECT_EQ(window.batches[1].input_ids[0][0].item<std::int64_t>(), 5);
}

TEST(WindowTest, CoalescedBatchesAreStackedInOrder) {
  const layer::BatchShape shape{.batch = 2, .sequence = 4};
  CountingSource source(shape);
  const auto window =
      read_window(source, {.micro_batch = shape, .micro_steps = 2, .coalesce = 2}, 0, 0, 3);
  ASSERT_EQ(window.batches.size(), 2u);
  const auto& ids = window.batches[0].input_ids;
  EXPECT_EQ(ids.size(0), 4);
  EXPECT_EQ(ids[1][0].item<std::int64_t>(), 1);
  EXPECT_EQ(ids[2][0].item<std::int64_t>(), 2);
  EXPECT_EQ(window.targets, 3 * 2 * 3);
  EXPECT_EQ(count_targets(window.batches[1]), 2 * 3);
}

TEST(WindowTest, StackedDocumentStartsStayIncreasing) {
  const layer::BatchShape shape{.batch = 2, .sequence = 4, .document_mask = true};
  const auto joined = concat({filler_batch(shape), filler_batch(shape)});
  const auto expected = at::arange(0, 17, 4, at::TensorOptions().dtype(at::kInt));
  EXPECT_TRUE(at::equal(joined.cu_seqlens, expected));
  EXPECT_EQ(joined.position_ids.size(0), 4);
}

TEST(WindowTest, MoreBatchesThanTheStepHoldsIsABug) {
  const layer::BatchShape shape{.batch = 1, .sequence = 2};
  CountingSource source(shape);
  EXPECT_THROW((void)read_window(source, {.micro_batch = shape, .micro_steps = 2}, 0, 0, 3),
               InternalError);
}

}  // namespace
}  // namespace zt::train
