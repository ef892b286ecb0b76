#include <gtest/gtest.h>

#include "config/config_test_files.h"

namespace zt::config {
namespace {

class CheckpointFlagsTest : public FlagsTest {};

TEST_F(CheckpointFlagsTest, CheckpointFlagsReachTheirFields) {
  const auto saved = [this](const std::vector<std::string>& args) {
    return resolved(args).checkpoint;
  };
  const CheckpointConfig none = saved({});
  EXPECT_EQ(none.save_strategy, SaveStrategy::steps);
  EXPECT_EQ(none.save_steps, 500);
  EXPECT_TRUE(none.resume_from.empty());
  const CheckpointConfig many =
      saved({"--save_steps", "7", "--save_total_limit", "2", "--save_keep_every", "100",
             "--save_only_model", "--async_save", "--max_train_time", "1:30:00"});
  EXPECT_EQ(many.save_steps, 7);
  EXPECT_EQ(many.save_total_limit, 2);
  EXPECT_EQ(many.save_keep_every, 100);
  EXPECT_TRUE(many.save_only_model && many.async_save);
  EXPECT_EQ(many.max_train_seconds, 5400);
  EXPECT_EQ(saved({"--max_train_time", "45m"}).max_train_seconds, 2700);
  EXPECT_EQ(saved({"--max_train_time", "90"}).max_train_seconds, 90);
  EXPECT_EQ(saved({"--resume_from_checkpoint", "True"}).resume_from, "true");
  EXPECT_EQ(saved({"--resume_from_checkpoint", "x/checkpoint-3"}).resume_from, "x/checkpoint-3");
  EXPECT_TRUE(saved({"--resume_from_checkpoint", "None"}).resume_from.empty());
  EXPECT_EQ(saved({"--init_from", "weights"}).init_from, "weights");
  const CheckpointConfig best = saved(
      {"--load_best_model_at_end", "--eval_strategy", "steps", "--eval_steps", "5", "--save_steps",
       "10", "--metric_for_best_model", "eval_perplexity", "--greater_is_better", "False"});
  EXPECT_TRUE(best.load_best_model_at_end && !best.greater_is_better);
  EXPECT_EQ(best.metric_for_best_model, "perplexity");

  expect_error({"--max_train_time", "soon"}, "--max_train_time: got soon, expected a time > 0");
  expect_error({"--save_steps", "2.5"}, "expected a whole number or a share below 1");
  expect_error({"--save_strategy", "often"}, "expected one of no|steps|epoch|best");
  expect_error({"--load_best_model_at_end"}, "needs evaluations during training");
  expect_error({"--load_best_model_at_end", "--eval_strategy", "epoch"},
               "needs --save_strategy equal to --eval_strategy");
  expect_error({"--load_best_model_at_end", "--eval_strategy", "steps", "--eval_steps", "4",
                "--save_steps", "10"},
               "--save_steps is no multiple of --eval_steps: got 10 and 4");
  expect_error({"--metric_for_best_model", "accuracy"}, "expected loss or perplexity");
  expect_error({"--init_from", "a", "--resume_from_checkpoint", "latest"},
               "--resume_from_checkpoint contradicts --init_from");
}

}  // namespace
}  // namespace zt::config
