#include <gtest/gtest.h>

#include "config/config_test_files.h"

namespace zt::config {
namespace {

/// A row of DeepSpeed's table: what is given (0: absent) and what follows.
struct Triple {
  int total, micro, steps, world;
  int expected_micro, expected_steps;  ///< 0: an error
};

std::string document(const Triple& row) {
  std::string text = "{";
  const auto add = [&](const char* key, int value) {
    if (value != 0) text += "\"" + std::string(key) + "\": " + std::to_string(value) + ",";
  };
  add("train_batch_size", row.total);
  add("train_micro_batch_size_per_gpu", row.micro);
  add("gradient_accumulation_steps", row.steps);
  return text + "}";
}

class BatchTripleTest : public testing::TestWithParam<Triple> {};

TEST_P(BatchTripleTest, DerivesWhatIsMissingAsDeepSpeedDoes) {
  const Triple row = GetParam();
  RunConfig run;
  const std::string error = config_error(
      [&] { run = from_deepspeed(document(row), Facts{.world_size = row.world}).run; });
  if (row.expected_micro == 0) {
    EXPECT_TRUE(contains(error, "train_batch_size")) << document(row) << error;
    return;
  }
  ASSERT_EQ(error, "") << document(row);
  EXPECT_EQ(run.per_device_train_batch_size, row.expected_micro);
  EXPECT_EQ(run.gradient_accumulation_steps, row.expected_steps);
}

INSTANTIATE_TEST_SUITE_P(Table, BatchTripleTest,
                         testing::Values(Triple{32, 16, 1, 2, 16, 1}, Triple{32, 8, 2, 2, 8, 2},
                                         Triple{33, 17, 2, 2, 0, 0}, Triple{32, 18, 1, 2, 0, 0},
                                         Triple{32, 4, 0, 2, 4, 4}, Triple{32, 0, 4, 2, 4, 4},
                                         Triple{0, 4, 8, 2, 4, 8}, Triple{32, 0, 0, 2, 16, 1},
                                         Triple{0, 4, 0, 2, 4, 1}, Triple{0, 0, 4, 2, 0, 0},
                                         Triple{0, 0, 0, 2, 0, 0}, Triple{33, 0, 0, 2, 0, 0},
                                         Triple{2, 0, 0, 4, 0, 0}, Triple{32, 5, 0, 2, 0, 0},
                                         Triple{1520, 190, 1, 8, 190, 1},
                                         Triple{16, 0, 32, 2, 0, 0}));

TEST(BatchTest, TheErrorShowsTheProduct) {
  const std::string error = config_error([] {
    (void)from_deepspeed(
        "{\"train_batch_size\": 33,\n\"train_micro_batch_size_per_gpu\": 17,\n"
        "\"gradient_accumulation_steps\": 2}",
        Facts{.world_size = 2});
  });
  EXPECT_TRUE(contains(error,
                       "train_batch_size: got 33, expected train_micro_batch_size_per_gpu * "
                       "gradient_accumulation_steps * ranks = 17 * 2 * 2 = 68"))
      << error;
}

TEST(BatchTest, NumbersMustBePositiveAndWhole) {
  for (const char* bad : {"0", "-4", "2.5", "\"CONFIG_MBSIZE\"", "1e12", "true", "[4]"}) {
    const std::string error = config_error([&] {
      (void)from_deepspeed("{\"train_micro_batch_size_per_gpu\": " + std::string(bad) + "}");
    });
    EXPECT_TRUE(contains(error, "train_micro_batch_size_per_gpu: got ")) << bad << error;
  }
  EXPECT_EQ(
      from_deepspeed("{\"train_micro_batch_size_per_gpu\": \"8\"}").run.per_device_train_batch_size,
      8);
  EXPECT_EQ(from_deepspeed("{\"train_batch_size\": 8.0}", Facts{.world_size = 2})
                .run.per_device_train_batch_size,
            4);
}

class BatchFlagsTest : public testing::Test {
 protected:
  RunConfig run_of(const std::string& json, const std::vector<std::string>& more,
                   std::int64_t world) const {
    std::vector<std::string> args = files_.args(more);
    args.insert(args.end(), {"--deepspeed", json});
    return resolve(args, Facts{.world_size = world}).run;
  }
  TestFiles files_;
};

TEST_F(BatchFlagsTest, FlagsFillWhatTheFileLeavesOpen) {
  const RunConfig open = run_of("{}", {"--per_device_train_batch_size", "4"}, 2);
  EXPECT_EQ(open.per_device_train_batch_size, 4);
  EXPECT_EQ(open.gradient_accumulation_steps, 1);
  const RunConfig given =
      run_of("{train_micro_batch_size_per_gpu: 3}", {"--gradient_accumulation_steps", "5"}, 2);
  EXPECT_EQ(given.per_device_train_batch_size, 3);
  EXPECT_EQ(given.gradient_accumulation_steps, 5);
  const RunConfig total = run_of("{train_batch_size: 24, gradient_accumulation_steps: \"auto\"}",
                                 {"--gradient_accumulation_steps", "3"}, 2);
  EXPECT_EQ(total.per_device_train_batch_size, 4);
  const RunConfig alone = run_of("{train_batch_size: 24}", {}, 2);
  EXPECT_EQ(alone.per_device_train_batch_size, 12);
  EXPECT_EQ(alone.gradient_accumulation_steps, 1);
}

TEST_F(BatchFlagsTest, DisagreementNamesBothPlaces) {
  const std::string error = config_error([&] {
    (void)run_of("{train_micro_batch_size_per_gpu: 3,\ngradient_accumulation_steps: 2}",
                 {"--per_device_train_batch_size", "4", "--gradient_accumulation_steps", "1"}, 2);
  });
  EXPECT_TRUE(contains(error,
                       "--per_device_train_batch_size 4 contradicts train_micro_batch_size_per_gpu "
                       "3 (command line; --deepspeed:1)"))
      << error;
  EXPECT_TRUE(contains(error,
                       "--gradient_accumulation_steps 1 contradicts gradient_accumulation_steps 2 "
                       "(command line; --deepspeed:2)"))
      << error;
  const std::string product = config_error([&] {
    (void)run_of("{train_batch_size: 16}", {"--per_device_train_batch_size", "3"}, 2);
  });
  EXPECT_TRUE(contains(product, "train_batch_size: got 16, expected")) << product;
}

}  // namespace
}  // namespace zt::config
