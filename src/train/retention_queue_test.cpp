#include "train/retention_queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include "checkpoint/native_test_save.h"

namespace zt::train {
namespace {

using namespace checkpoint::testing;
using checkpoint::CheckpointStore;
using checkpoint::RankExchange;
using Steps = std::set<std::int64_t>;

Steps steps_in(const SaveFolder& folder) {
  Steps steps;
  for (const auto& it : checkpoint::list_checkpoints(folder.path("out"))) steps.insert(it.step);
  return steps;
}

TEST(RetentionQueueTest, NothingGoesWhileTheNewestIsDamaged) {
  const SaveFolder folder;
  for (const std::int64_t step : {10, 20, 30}) save_on(1, small_save(folder, step));
  const auto weights = folder.path("out/checkpoint-30/model.safetensors");
  const auto good = read_file(weights);
  write_file(weights, good.substr(1));
  std::vector<std::vector<std::string>> said(2);
  const auto clean = [&] {
    on_ranks(2, [&](const RankExchange& exchange) {
      CheckpointStore store(folder.path("out"), exchange);
      RetentionQueue queue(store, exchange);
      queue.post({.save_total_limit = 1});
      queue.wait();
      said.at(static_cast<std::size_t>(exchange.rank)) = queue.take_notes();
    });
  };
  clean();
  EXPECT_EQ(steps_in(folder), (Steps{10, 20, 30}));
  ASSERT_EQ(said[0].size(), 1U);
  EXPECT_NE(said[0][0].find("nothing is deleted"), std::string::npos);
  EXPECT_EQ(said[0], said[1]);
  write_file(weights, good);
  clean();
  EXPECT_EQ(steps_in(folder), (Steps{30}));
  EXPECT_EQ(said[0].size(), 2U);
}

TEST(RetentionQueueTest, ReadingBackGivesWayToSavesAndTheLastWholeOneStays) {
  const SaveFolder folder;
  CheckpointStore store(folder.path("out"), checkpoint::exchange_alone());
  RetentionQueue queue(store, checkpoint::exchange_alone());
  const auto save = [&](std::int64_t step) {
    save_on(1, small_save(folder, step));
    queue.post({.save_total_limit = 1});
  };
  for (const std::int64_t step : {10, 20}) save(step);
  queue.wait();
  EXPECT_EQ(steps_in(folder), (Steps{20}));
  {
    const RetentionQueue::SaveUnderWay under_way(queue);
    for (const std::int64_t step : {30, 40, 50, 60}) save(step);
    const auto left = steps_in(folder);
    EXPECT_LE(left.size(), 3U);  // the limit and two more
    EXPECT_EQ(left.count(20), 1U) << "the last one that was found whole";
    EXPECT_EQ(left.count(60), 1U);
  }
  queue.wait();
  EXPECT_EQ(steps_in(folder), (Steps{60}));
}

TEST(RetentionQueueTest, TheFirstReadingGivesWayToo) {
  const SaveFolder folder;
  CheckpointStore store(folder.path("out"), checkpoint::exchange_alone());
  RetentionQueue queue(store, checkpoint::exchange_alone());
  {
    const RetentionQueue::SaveUnderWay under_way(queue);
    for (const std::int64_t step : {10, 20}) save_on(1, small_save(folder, step));
    queue.post({.save_total_limit = 1});
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_EQ(steps_in(folder), (Steps{10, 20}));
  }
  queue.wait();
  EXPECT_EQ(steps_in(folder), (Steps{20}));
}

TEST(RetentionQueueTest, WithoutALimitNothingIsReadAndNothingGoes) {
  const SaveFolder folder;
  for (const std::int64_t step : {10, 20}) save_on(1, small_save(folder, step));
  write_file(folder.path("out/checkpoint-20/model.safetensors"), "damaged");
  CheckpointStore store(folder.path("out"), checkpoint::exchange_alone());
  RetentionQueue queue(store, checkpoint::exchange_alone());
  queue.post({});
  queue.wait();
  EXPECT_TRUE(queue.take_notes().empty());
  EXPECT_EQ(steps_in(folder), (Steps{10, 20}));
}

}  // namespace
}  // namespace zt::train
