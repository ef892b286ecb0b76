#include "zero/rank_values.h"

#include <gtest/gtest.h>

#include "testing/fault_communicator.h"
#include "testing/rank_launcher.h"

namespace zt::zero {
namespace {

using testing::Fault;

TEST(RankValuesTest, EveryRankGetsTheValuesOfAllInRankOrder) {
  testing::run_threads(3, [](comm::Communicator& communicator) {
    const std::int64_t rank = communicator.rank();
    const auto values = gather_values(communicator, std::vector<std::int64_t>{rank, 10 * rank});
    EXPECT_EQ(values, (std::vector<std::vector<std::int64_t>>{{0, 0}, {1, 10}, {2, 20}}));
    EXPECT_EQ(sum_over_ranks(communicator, rank + 1), 6);
    EXPECT_EQ(max_over_ranks(communicator, -rank), 0);
  });
}

TEST(RankValuesTest, NoRankUsesWhatARankSentThatWasCutShort) {
  const auto results = testing::run_threads(
      3,
      [](comm::Communicator& communicator) {
        const auto faulty = testing::inject(
            communicator,
            {.kind = Fault::Kind::cut_short, .at_call = communicator.rank() == 1 ? 0 : -1});
        static_cast<void>(sum_over_ranks(*faulty, 7));
      },
      /*expect_success=*/false);
  for (const auto& result : results) {
    EXPECT_FALSE(result.succeeded) << "rank " << result.rank;
    EXPECT_NE(result.message.find("injected failure (rank 1)"), std::string::npos)
        << result.message;
  }
}

}  // namespace
}  // namespace zt::zero
