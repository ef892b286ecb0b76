// Saves of in-process ranks: asynchronous ones write the same bytes, failures reach every rank.
#include "train/checkpointing.h"
#include "base/test_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "checkpoint/native_checkpoint.h"
#include "comm/inproc/memory_store.h"
#include "testing/mlp_model.h"
#include "testing/rank_launcher.h"

namespace zt::train {
namespace {

namespace fs = std::filesystem;

constexpr int kWorld = 2;
constexpr testing::MlpSizes kSizes;

zero::EngineOptions engine_options() {
  zero::EngineOptions options;
  options.shape = {2, 5, false};
  options.precision.compute = DType::bf16;
  options.zero.stage = 2;
  return options;
}

void train_step(zero::Engine& engine, int rank, int step) {
  const auto batch = [&](int r) {
    return testing::mlp_batch(kSizes, engine_options().shape,
                              static_cast<std::uint64_t>(step * 10 + r));
  };
  std::int64_t targets = 0;
  for (int r = 0; r < kWorld; ++r) targets += testing::mlp_targets(batch(r));
  engine.begin_step(targets);
  engine.micro_step(batch(rank));
  (void)engine.step(1e-2);
}

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ostringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    files[fs::relative(entry.path(), folder)] = text.str();
  }
  return files;
}

class CheckpointingTest : public ::testing::Test {
 protected:
  /// What each rank of a test has.
  struct Rank {
    int rank;
    zero::Engine& engine;
    CheckpointWriter& writer;
    Checkpointing& checkpoints;
  };
  /// Runs `body` on every rank with an engine that did one step.
  void with_ranks(const std::string& folder, bool async, const config::CheckpointConfig& flags,
                  const std::function<void(Rank&)>& body) {
    const auto store = comm::make_memory_store();
    testing::run_threads(kWorld, [&](comm::Communicator& communicator) {
      const int rank = communicator.rank();
      const auto connection = store->clone();
      const auto exchange = [&](const char* name) {
        return checkpoint::exchange_over_store(*connection, rank, kWorld, folder + name,
                                               std::chrono::seconds(20));
      };
      zero::Engine engine(testing::make_mlp(kSizes), engine_options(),
                          {&communicator, Device::cpu, 0});
      engine.load_params(testing::mlp_init(kSizes, 7));
      train_step(engine, rank, 1);
      checkpoint::CheckpointStore checkpoints_of_run((root_ / folder).string(), exchange("store"));
      CheckpointWriterOptions options;
      options.save.output_dir = (root_ / folder).string();
      options.save.tensors.dtype = DType::bf16;
      options.async = async;
      CheckpointWriter writer(engine, checkpoints_of_run, exchange("save"), exchange("retain"),
                              options);
      StepPlan plan;
      plan.total_steps = 100;
      plan.save_every = 2;
      const Observers none;
      Checkpointing checkpoints({.engine = &engine, .writer = &writer, .observers = &none},
                                {.checkpoint = flags,
                                 .plan = plan,
                                 .run = {.global_batch = 4},
                                 .output_dir = (root_ / folder).string()});
      Rank mine{rank, engine, writer, checkpoints};
      body(mine);
    });
  }

  TestFolder folder_;
  const fs::path root_ = folder_.root() / "output";
};

TEST_F(CheckpointingTest, AsynchronousSavesWriteTheSameBytesWhileTrainingGoesOn) {
  for (const bool async : {false, true}) {
    with_ranks(async ? "async" : "sync", async, {}, [&](Rank& rank) {
      for (int step = 2; step <= 5; ++step) {
        train_step(rank.engine, rank.rank, step);
        EXPECT_FALSE(rank.checkpoints.after_step({.step = step, .epoch = 0.5}, 0, 4 * step));
      }
      rank.checkpoints.finish();
      EXPECT_GE(rank.checkpoints.take_blocked_seconds(), 0.0);
    });
  }
  for (const char* name : {"checkpoint-2", "checkpoint-4"}) {
    const auto expected = files_of(root_ / "sync" / name);
    EXPECT_GE(expected.size(), 6U);
    EXPECT_EQ(files_of(root_ / "async" / name), expected);
    EXPECT_TRUE(checkpoint::verify((root_ / "async" / name).string()).problems.empty());
  }
  const checkpoint::NativeCheckpoint saved((root_ / "async" / "checkpoint-4").string());
  EXPECT_EQ(saved.run_state().global_step, 4);
  EXPECT_EQ(saved.run_state().applied_steps, 4);
  EXPECT_EQ(saved.run_state().samples_seen, 16);
}

TEST_F(CheckpointingTest, AWishOfOneRankSavesAndStopsAll) {
  with_ranks("stop", true, {}, [&](Rank& rank) {
    EXPECT_FALSE(rank.checkpoints.after_step({.step = 1}, kWishSave, 4));
    EXPECT_TRUE(rank.checkpoints.after_step({.step = 3}, kWishStop, 12));
    EXPECT_FALSE(rank.checkpoints.after_step({.step = 100}, kWishStop, 400));
  });
  for (const char* name : {"checkpoint-1", "checkpoint-3", "checkpoint-100"}) {
    EXPECT_TRUE(checkpoint::is_native((root_ / "stop" / name).string())) << name;
  }
}

TEST_F(CheckpointingTest, TheTimeLimitIsAWish) {
  config::CheckpointConfig flags;
  flags.max_train_seconds = 1e-9;
  with_ranks("time", false, flags,
             [](Rank& rank) { EXPECT_EQ(rank.checkpoints.wishes(), kWishTimeOver); });
}

TEST_F(CheckpointingTest, AFailedSaveInTheBackgroundEndsTheNextStepOnEveryRank) {
  with_ranks("fail", true, {}, [&](Rank& rank) {
    if (rank.rank == 0) {  // the folder is gone, a file in its place
      fs::rename(root_ / "fail", root_ / "moved");
      std::ofstream(root_ / "fail") << "x";
    }
    rank.checkpoints.save(2, 0, 8);
    while (!rank.writer.failed()) ::usleep(1000);
    EXPECT_EQ(rank.checkpoints.wishes(), kWishFailed);
    EXPECT_THROW((void)rank.checkpoints.after_step({.step = 3}, kWishFailed, 12), CheckpointError);
  });
}

TEST_F(CheckpointingTest, TheBestCheckpointStaysBeyondTheLimit) {
  config::CheckpointConfig flags;
  flags.load_best_model_at_end = true;
  flags.save_total_limit = 2;
  with_ranks("best", false, flags, [](Rank& rank) {
    const double losses[] = {3.0, 1.0, 2.0, 2.5};
    for (int i = 0; i < 4; ++i) {
      const std::int64_t step = 2 * (i + 1);
      rank.checkpoints.evaluated(step, {.loss = losses[i]});
      (void)rank.checkpoints.after_step({.step = step}, 0, 0);
    }
    EXPECT_EQ(rank.checkpoints.best().step, 4);
    EXPECT_EQ(rank.checkpoints.best().metric, 1.0);
    EXPECT_TRUE(rank.checkpoints.needs_evaluation(100));
  });
  std::vector<std::int64_t> left;
  for (const auto& folder : checkpoint::list_checkpoints((root_ / "best").string())) {
    left.push_back(folder.step);
  }
  EXPECT_EQ(left, (std::vector<std::int64_t>{8, 4}));
}

TEST_F(CheckpointingTest, ALossThatIsNoNumberIsNeverTheBest) {
  config::CheckpointConfig flags;
  flags.load_best_model_at_end = true;
  with_ranks("nan", false, flags, [](Rank& rank) {
    const double losses[] = {std::nan(""), 2.0, std::nan(""), 1.5};
    const std::int64_t best[] = {0, 4, 4, 8};
    for (int i = 0; i < 4; ++i) {
      rank.checkpoints.evaluated(2 * (i + 1), {.loss = losses[i]});
      EXPECT_EQ(rank.checkpoints.best().step, best[i]);
    }
  });
}

}  // namespace
}  // namespace zt::train
