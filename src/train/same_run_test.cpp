// Ranks that were started with other settings do not train together.
#include "train/same_run.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "base/error.h"
#include "comm/inproc/memory_store.h"

namespace zt::train {
namespace {

/// What each rank is told about the ranks' configurations; empty: nothing.
std::vector<std::string> compare(const std::vector<config::Config>& by_rank) {
  const auto store = comm::make_memory_store();
  std::vector<std::string> errors(by_rank.size());
  std::vector<std::thread> ranks;
  for (std::size_t rank = 0; rank < by_rank.size(); ++rank) {
    ranks.emplace_back([&, rank] {
      const auto exchange = checkpoint::exchange_over_store(*store, static_cast<int>(rank),
                                                            static_cast<int>(by_rank.size()),
                                                            "same", std::chrono::seconds(20));
      try {
        require_same(facts_of(by_rank[rank]), exchange);
      } catch (const ConfigError& error) {
        errors[rank] = error.what();
      }
    });
  }
  for (auto& rank : ranks) rank.join();
  return errors;
}

TEST(SameRunTest, AnyValueThatTrainingDependsOnIsCompared) {
  std::vector<config::Config> ranks(3);
  EXPECT_EQ(compare(ranks), std::vector<std::string>(3));
  ranks[2].optimizer.learning_rate = 0.25;
  ranks[2].run.seed = 7;
  for (const auto& error : compare(ranks)) {
    EXPECT_NE(error.find("rank 2 was started in another way than rank 0"), std::string::npos);
    EXPECT_NE(error.find("optimizer.learning_rate: got '0.25', rank 0 has"), std::string::npos);
    EXPECT_NE(error.find("run.seed: got '7', rank 0 has '42'"), std::string::npos) << error;
    EXPECT_EQ(error.find("weight_decay"), std::string::npos);
  }
  ranks[2] = {};
  ranks[1].checkpoint.resume_from = "latest";
  EXPECT_NE(compare(ranks)[0].find("checkpoint.resume_from: got 'latest', rank 0 has ''"),
            std::string::npos);
}

TEST(SameRunTest, PathsLogLevelsAndThreadsMayBeAMachinesOwn) {
  std::vector<config::Config> ranks(2);
  ranks[1].model.model_name_or_path = "/local/model";
  ranks[1].data.train_file_dir = "/local/data";
  ranks[1].data.preprocessing_num_workers = 3;
  ranks[1].run.output_dir = "elsewhere/out";
  ranks[1].run.log_level_replica = "debug";
  ranks[1].launch.nproc = 5;
  EXPECT_EQ(compare(ranks), std::vector<std::string>(2));
}

}  // namespace
}  // namespace zt::train
