#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "base/log.h"
#include "base/test_folder.h"
#include "examples/library/tiny_layers.h"

namespace zt {
namespace {

Model make_model() {
  Model model;
  model.parts.params = {{"embedding.weight", {tiny::kVocabulary, tiny::kHidden}},
                        {"classifier.weight", {tiny::kVocabulary, tiny::kHidden}}};
  model.parts.units = {{"embedding", {{0}}}, {"classifier", {{1}}}};
  model.parts.layers.push_back(std::make_unique<tiny::Embedding>());
  model.parts.layers.push_back(std::make_unique<tiny::Classifier>());
  model.values = [](ParamId, std::int64_t begin, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = 0.01F * static_cast<float>((static_cast<std::size_t>(begin) + i) % 17);
    }
  };
  return model;
}

Batch make_batch(std::int64_t letter) {
  const auto ids = at::full({2, 4}, letter, at::TensorOptions().dtype(at::kLong));
  return {ids, ids, ids, {}};
}

class ApiTest : public ::testing::Test {
 protected:
  static Config make_config() {
    auto config = config_from_deepspeed(
        R"({"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2,
            "optimizer": {"type": "AdamW", "params": {"lr": 0.1}}})",
        1);
    config.data.block_size = 4;
    return config;
  }
  Ranks ranks_ = Ranks::one();
  Engine engine_ = initialize(make_model(), make_config(), ranks_);
};

TEST_F(ApiTest, ForwardAndBackwardEqualMicroStep) {
  auto other = initialize(make_model(), make_config(), ranks_);
  for (const std::int64_t letter : {3, 5}) {
    const double loss = other.forward(make_batch(letter));
    other.backward(loss);
    EXPECT_EQ(engine_.micro_step(make_batch(letter)), loss);
  }
  EXPECT_EQ(engine_.step().grad_norm, other.step().grad_norm);
  EXPECT_EQ(zero::hash_params(engine_.core()), zero::hash_params(other.core()));
}

TEST_F(ApiTest, LossOfAStepIsTheMeanOfItsMicroSteps) {
  const double first = engine_.micro_step(make_batch(3));
  const double second = engine_.micro_step(make_batch(5));
  EXPECT_NEAR(engine_.step().loss, (first + second) / 2, 1e-12);
}

TEST_F(ApiTest, BackwardTakesOnlyTheLossOfTheLastForward) {
  const double loss = engine_.forward(make_batch(3));
  EXPECT_THROW(engine_.backward(loss * 0.5), InternalError);
  EXPECT_NO_THROW(engine_.backward(loss));
}

TEST_F(ApiTest, UnevenMicroBatchesAreRefusedUnlessTheStepWasAnnounced) {
  auto short_batch = make_batch(5);
  short_batch.targets = short_batch.targets.clone();
  short_batch.targets.slice(1, 3).fill_(-100);
  (void)engine_.micro_step(make_batch(3));
  EXPECT_THROW((void)engine_.micro_step(short_batch), ConfigError);

  auto announced = initialize(make_model(), make_config(), ranks_);
  announced.begin_step(8 + 6);
  const double first = announced.micro_step(make_batch(3));
  const double second = announced.micro_step(short_batch);
  EXPECT_NEAR(announced.step().loss, (8 * first + 6 * second) / 14, 1e-12);
}

TEST_F(ApiTest, BatchesOfAnotherShapeOrDtypeAreRefusedBeforeAnythingRuns) {
  const auto wrong = [](std::int64_t rows, std::int64_t length, at::ScalarType dtype) {
    const auto ids = at::full({rows, length}, 3, at::TensorOptions().dtype(dtype));
    return Batch{ids, ids, ids, {}};
  };
  for (const auto& batch : {wrong(3, 4, at::kLong), wrong(2, 5, at::kLong), wrong(1, 4, at::kLong),
                            wrong(2, 4, at::kInt), Batch{}}) {
    EXPECT_THROW((void)engine_.micro_step(batch), ConfigError);
    EXPECT_THROW((void)engine_.evaluate(batch), ConfigError);
  }
  auto uneven = make_batch(3);
  uneven.targets = at::full({2, 3}, 3, at::TensorOptions().dtype(at::kLong));
  EXPECT_THROW((void)engine_.micro_step(uneven), ConfigError);
  for (int m = 0; m < 2; ++m) EXPECT_NO_THROW((void)engine_.micro_step(make_batch(3)));
}

TEST_F(ApiTest, SlicesOfALargerTensorAreReadAsTheyLookNotAsTheyLie) {
  auto tokens = at::full({2, 5}, 3, at::TensorOptions().dtype(at::kLong));
  tokens.slice(1, 4).fill_(-100);  // targets: the last of each row is none
  auto ids = at::full({2, 4}, 3, at::TensorOptions().dtype(at::kLong));
  const Batch sliced{ids, tokens.slice(1, 1), ids, {}};
  const Batch whole{ids, tokens.slice(1, 1).contiguous(), ids, {}};
  EXPECT_EQ(engine_.evaluate(sliced), engine_.evaluate(whole));
  auto other = initialize(make_model(), make_config(), ranks_);
  for (int m = 0; m < 2; ++m) EXPECT_EQ(engine_.micro_step(sliced), other.micro_step(whole));
  EXPECT_EQ(engine_.step().grad_norm, other.step().grad_norm);
}

TEST_F(ApiTest, AStepThatIsRefusedCountsForNothing) {
  auto other = initialize(make_model(), make_config(), ranks_);
  EXPECT_THROW((void)engine_.step(), InternalError);
  EXPECT_EQ(engine_.global_steps(), 0);
  (void)engine_.micro_step(make_batch(3));
  EXPECT_THROW((void)engine_.step(), InternalError);
  (void)engine_.micro_step(make_batch(5));
  for (const auto letter : {3, 5}) (void)other.micro_step(make_batch(letter));
  EXPECT_EQ(engine_.step().grad_norm, other.step().grad_norm);
  EXPECT_EQ(engine_.global_steps(), 1);
}

TEST_F(ApiTest, EvaluationIsTheLossOfTheParametersAsTheyAre) {
  const double before = engine_.evaluate(make_batch(3));
  EXPECT_EQ(engine_.micro_step(make_batch(3)), before);
  (void)engine_.micro_step(make_batch(3));
  EXPECT_FALSE(engine_.step().skipped);
  EXPECT_LT(engine_.evaluate(make_batch(3)), before);
}

TEST_F(ApiTest, Fp16ScalesTheLossAndLeavesOutStepsThatOverflow) {
  auto config = make_config();
  config.precision = config_from_deepspeed(
                         R"({"train_micro_batch_size_per_gpu": 2, "fp16":
                             {"enabled": true, "initial_scale_power": 24, "hysteresis": 1}})",
                         1)
                         .precision;
  auto engine = initialize(make_model(), config, ranks_);
  double scale = 1 << 24;
  StepResult result;
  do {
    for (int m = 0; m < 2; ++m) (void)engine.micro_step(make_batch(3));
    result = engine.step();
    EXPECT_EQ(result.loss_scale, scale);
    scale = result.skipped ? scale / 2 : scale;
    EXPECT_EQ(result.next_loss_scale, scale);
  } while (result.skipped);
  EXPECT_LT(scale, 1 << 24) << "no step overflowed";
  for (const auto letter : {3, 3}) (void)engine_.micro_step(make_batch(letter));
  EXPECT_NEAR(result.grad_norm, engine_.step().grad_norm, 2e-3 * result.grad_norm);
}

TEST_F(ApiTest, ACheckpointGoesOnWhereItWasSaved) {
  const TestFolder saves;
  const auto train = [](Engine& engine) {
    (void)engine.micro_step(make_batch(3));
    (void)engine.micro_step(make_batch(5));
    return engine.step().loss;
  };
  (void)train(engine_);
  const auto folder = engine_.save_checkpoint(saves.root().string());
  EXPECT_EQ(folder, saves.path("checkpoint-1"));
  (void)train(engine_);
  const double expected = train(engine_);

  auto other = initialize(make_model(), make_config(), ranks_);
  EXPECT_EQ(other.load_checkpoint(saves.path("nothing")), "");
  EXPECT_EQ(other.load_checkpoint(saves.root().string()), folder);
  EXPECT_EQ(other.global_steps(), 1);
  EXPECT_EQ(other.core().applied_steps(), 1);
  (void)train(other);
  EXPECT_EQ(train(other), expected);
  EXPECT_EQ(zero::hash_params(engine_.core()), zero::hash_params(other.core()));
}

/// Variables of a launcher for as long as it lives.
class Launched {
 public:
  explicit Launched(const std::map<std::string, std::string>& variables) {
    for (const auto& [name, value] : variables) {
      names_.push_back(name);
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  ~Launched() {
    for (const auto& name : names_) ::unsetenv(name.c_str());
  }
  Launched(const Launched&) = delete;
  Launched& operator=(const Launched&) = delete;

 private:
  std::vector<std::string> names_;
};

/// A rank that says of itself that it is on a GPU; nothing is ever sent.
class GpuRank final : public comm::Communicator {
 public:
  GpuRank(int rank, int world) : rank_(rank), world_(world) {}
  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int world() const override { return world_; }
  [[nodiscard]] Device device() const override { return Device::cuda; }
  void all_gather(const View&, const View&, const Launch&) override {}
  void all_to_all(const View&, const View&, const Launch&) override {}
  void reduce_scatter_sum(const View&, const View&, const Launch&) override {}
  void broadcast(const View&, int, const Launch&) override {}
  void barrier() override {}
  void abort(const std::string&) override {}

 private:
  int rank_, world_;
};

TEST_F(ApiTest, ADamagedCheckpointIsPassedOverAndTheLogSaysWhy) {
  const TestFolder saves;
  std::string first, second;
  for (auto* folder : {&first, &second}) {
    for (const auto letter : {3, 5}) (void)engine_.micro_step(make_batch(letter));
    (void)engine_.step();
    *folder = engine_.save_checkpoint(saves.root().string());
  }
  std::fstream states(second + "/zero/exp_avg.safetensors",
                      std::ios::in | std::ios::out | std::ios::binary);
  ASSERT_TRUE(states.seekp(-1, std::ios::end) << 'x');
  states.close();
  auto other = initialize(make_model(), make_config(), ranks_);
  log::init(0, log::Level::info);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(other.load_checkpoint(saves.root().string()), first);
  const auto text = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("skipped " + second), std::string::npos) << text;
  EXPECT_NE(text.find("exp_avg.safetensors"), std::string::npos) << text;
}

TEST(ApiRanksTest, TheGpuIsTheLocalRankThatTheLauncherNames) {
  GpuRank fifth(5, 8);
  const Launched launched(
      {{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "4"}});
  const auto ranks = Ranks::of(fifth);
  EXPECT_EQ(ranks.place().device_index, 1);
  EXPECT_EQ(ranks.place().local_rank, 1);
  EXPECT_EQ(ranks.place().local_world, 4);
  const auto chosen = Ranks::of(fifth, {.device_index = 3, .local_rank = 0, .local_world = 2});
  EXPECT_EQ(chosen.place().device_index, 3);
}

TEST(ApiRanksTest, TheGpuOfOneAmongSeveralIsNeverGuessed) {
  GpuRank second(1, 2), alone(0, 1);
  try {
    (void)Ranks::of(second);
    FAIL() << "rank 1 took a GPU nobody named";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("LOCAL_RANK"), std::string::npos) << error.what();
  }
  EXPECT_EQ(Ranks::of(alone).place().device_index, 0);
  EXPECT_THROW((void)Ranks::of(second, {.device_index = 0, .local_rank = 2, .local_world = 2}),
               ConfigError);
}

TEST(ApiConfigTest, WrongKeysOfDeepSpeedAreRefusedByName) {
  try {
    (void)config_from_deepspeed(
        R"({"train_micro_batch_size_per_gpu": 2, "zero_optimization": {"stagee": 2}})", 1);
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("stagee"), std::string::npos);
  }
}

}  // namespace
}  // namespace zt
