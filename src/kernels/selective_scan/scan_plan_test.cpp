// How the selective scan's work is cut for a GPU.
#include <gtest/gtest.h>

#include "kernels/selective_scan/selective_scan_impl.h"

namespace zt::kernels {
namespace {

TEST(ScanPlanTest, SegmentsAreWholeChunksOfAllTheSequence) {
  for (const std::int64_t batch : {1, 3, 20, 66, 150}) {
    for (const std::int64_t channels : {1, 64, 65, 768, 9728}) {
      for (const std::int64_t sequence : {1, 64, 255, 256, 700, 2048, 4097, 1 << 20}) {
        const ScanShape shape{batch, sequence, channels, 16};
        const ScanPlan plan = scan_plan(shape);
        SCOPED_TRACE(testing::Message() << batch << " x " << sequence << " x " << channels);
        EXPECT_LT((plan.segments - 1) * plan.segment_chunks, plan.chunks);
        EXPECT_GE(plan.segments * plan.segment_chunks, plan.chunks);
        EXPECT_EQ(scan_forward_workspace(shape),
                  plan.segments == 1 ? 0 : batch * plan.segments * channels * 17);
        const ScanScratch scratch = scan_scratch(shape);
        EXPECT_EQ(scratch.carries - scratch.channel_sums, batch * plan.segments * channels * 18);
        EXPECT_EQ(scratch.total - scratch.carries, scan_forward_workspace(shape));
      }
    }
  }
}

TEST(ScanPlanTest, OnlySequencesOfFewRowsAndChannelsAreCut) {
  const auto segments = [](const ScanShape& shape) { return scan_plan(shape).segments; };
  EXPECT_EQ(segments({8, 2048, 4096, 16}), 1);
  EXPECT_EQ(segments({4, 2048, 4096, 16}), 1);
  EXPECT_EQ(segments({16, 2048, 1536, 16}), 1);
  EXPECT_EQ(segments({1, 192, 1536, 16}), 1) << "short";
  EXPECT_EQ(segments({0, 2048, 1536, 16}), 1) << "no rows";
  EXPECT_EQ(segments({1, 0, 1536, 16}), 1) << "no tokens";
  EXPECT_EQ(segments({1, 2048, 1536, 16}), 11);
  EXPECT_EQ(segments({4, 2048, 1536, 16}), 11);
  EXPECT_EQ(segments({1, 4096, 9728, 16}), 13);
  EXPECT_EQ(segments({1, 256, 64, 64}), 4);
}

}  // namespace
}  // namespace zt::kernels
