#include "zero/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "testing/mlp_model.h"
#include "testing/rank_launcher.h"
#include "zero/residency.h"

namespace zt::zero {
namespace {

EngineOptions small_options() {
  EngineOptions options;
  options.shape = {2, 5, false};
  options.zero.stage = 2;
  return options;
}

TEST(EngineTest, ForwardAndBackwardEqualMicroStep) {
  const testing::MlpSizes sizes;
  std::vector<std::uint64_t> hashes;
  for (const bool split : {false, true}) {
    testing::run_threads(1, [&](comm::Communicator& communicator) {
      Engine engine(testing::make_mlp(sizes), small_options(), {&communicator, Device::cpu, 0});
      engine.load_params(testing::mlp_init(sizes, 1));
      const auto batch = testing::mlp_batch(sizes, small_options().shape, 3);
      engine.begin_step(testing::mlp_targets(batch));
      if (split) {
        const auto loss = engine.forward(batch);
        EXPECT_GT(loss, 0);
        EXPECT_THROW(engine.backward(loss + 1), InternalError);
        engine.backward(loss);
      } else {
        engine.micro_step(batch);
      }
      engine.step(1e-2);
      hashes.push_back(hash_params(engine));
    });
  }
  EXPECT_EQ(hashes.at(0), hashes.at(1));
}

TEST(EngineTest, EvaluationEqualsTheTrainingLossAndChangesNothing) {
  const testing::MlpSizes sizes;
  testing::run_threads(2, [&](comm::Communicator& communicator) {
    Engine engine(testing::make_mlp(sizes), small_options(), {&communicator, Device::cpu, 0});
    engine.load_params(testing::mlp_init(sizes, 1));
    const auto batch = testing::mlp_batch(sizes, small_options().shape, 3);
    const auto before = hash_params(engine);
    const auto sum = engine.evaluate(batch);
    EXPECT_EQ(engine.evaluate(batch), sum);
    EXPECT_EQ(hash_params(engine), before);
    const auto targets = testing::mlp_targets(batch) * 2;  // both ranks have the same batch
    engine.begin_step(targets);
    engine.micro_step(batch);
    EXPECT_NEAR(engine.step(1e-2).loss, 2 * sum / static_cast<double>(targets), 1e-6);
  });
}

layer::Batch rows_of(const layer::Batch& all, std::int64_t begin, std::int64_t end) {
  return {all.input_ids.slice(0, begin, end).contiguous(),
          all.targets.slice(0, begin, end).contiguous(),
          {},
          {}};
}

/// What rank 0 found with evaluation batches of `rows` rows.
struct Evaluated {
  double sum = 0;
  std::uint64_t hash = 0;  ///< of the parameters after two steps, with evaluations between them
  Bytes arena;
};

Evaluated evaluate_and_train(std::int64_t rows) {
  constexpr std::int64_t kRows = 192;
  const testing::MlpSizes sizes;
  Evaluated result;
  testing::run_threads(2, [&](comm::Communicator& communicator) {
    auto options = small_options();
    options.zero.stage = 3;
    options.eval_batch = rows;
    Engine engine(testing::make_mlp(sizes), options, {&communicator, Device::cpu, 0});
    engine.load_params(testing::mlp_init(sizes, 1));
    const auto all = testing::mlp_batch(sizes, {kRows, 5, false}, 4);
    const auto at_once = options.eval_shape().batch;
    const auto evaluate_all = [&] {
      double sum = 0;
      for (std::int64_t r = 0; r < kRows; r += at_once) {
        sum += engine.evaluate(rows_of(all, r, r + at_once));
      }
      return sum;
    };
    const auto sum = evaluate_all();
    const auto batch = testing::mlp_batch(sizes, options.shape, 3);
    for (int step = 0; step < 2; ++step) {
      engine.begin_step(testing::mlp_targets(batch) * 2);
      engine.micro_step(batch);
      engine.step(1e-2);
      EXPECT_NE(evaluate_all(), sum);
    }
    const auto hash = hash_params(engine);
    if (communicator.rank() == 0) result = {sum, hash, engine.program().device_arena};
  });
  return result;
}

TEST(EngineTest, EvaluationBatchesOfAnySizeHaveTheSameSumAndLeaveTrainingAsItIs) {
  const auto as_in_training = evaluate_and_train(0);
  for (const std::int64_t rows : {1, 3, 192}) {
    const auto other = evaluate_and_train(rows);
    EXPECT_NEAR(other.sum, as_in_training.sum, 1e-6 * as_in_training.sum) << rows;
    EXPECT_EQ(other.hash, as_in_training.hash) << rows;
    EXPECT_EQ(other.arena > as_in_training.arena, rows == 192) << "only larger batches need room";
  }
}

TEST(EngineTest, ANonFiniteGradientSkipsTheStep) {
  const testing::MlpSizes sizes;
  testing::run_threads(2, [&](comm::Communicator& communicator) {
    Engine engine(testing::make_mlp(sizes), small_options(), {&communicator, Device::cpu, 0});
    const auto init = testing::mlp_init(sizes, 1);
    engine.load_params([&](layout::ParamId id, std::int64_t begin, std::span<float> values) {
      init(id, begin, values);
      if (id.value == 2 && begin == 0) values[0] = std::numeric_limits<float>::infinity();
    });
    const auto before = hash_params(engine);
    const auto batch = testing::mlp_batch(sizes, small_options().shape, 3);
    engine.begin_step(testing::mlp_targets(batch) * 2);
    engine.micro_step(batch);
    const auto result = engine.step(1e-2);
    EXPECT_TRUE(result.skipped);
    EXPECT_NE(result.cause.find("gradient of "), std::string::npos) << result.cause;
    EXPECT_FALSE(std::isfinite(result.grad_norm));
    EXPECT_EQ(engine.applied_steps(), 0);
    EXPECT_EQ(hash_params(engine), before);
  });
}

TEST(EngineTest, CallsInTheWrongOrderAreRefused) {
  const testing::MlpSizes sizes;
  testing::run_threads(1, [&](comm::Communicator& communicator) {
    Engine engine(testing::make_mlp(sizes), small_options(), {&communicator, Device::cpu, 0});
    engine.load_params(testing::mlp_init(sizes, 1));
    const auto batch = testing::mlp_batch(sizes, small_options().shape, 3);
    EXPECT_THROW(engine.micro_step(batch), InternalError);
    EXPECT_THROW(engine.step(1e-3), InternalError);
    EXPECT_THROW(engine.begin_step(0), ConfigError);
    engine.begin_step(5);
    EXPECT_THROW(engine.backward(1.0), InternalError);
    engine.micro_step(batch);
    EXPECT_THROW(engine.micro_step(batch), InternalError);
    EXPECT_THROW(engine.evaluate(batch), InternalError);
  });
}

TEST(EngineTest, RanksWithDifferentBucketsRefuseToStart) {
  const testing::MlpSizes sizes;
  const auto results = testing::run_threads(
      2,
      [&](comm::Communicator& communicator) {
        auto options = small_options();
        options.zero.reduce_bucket_size = communicator.rank() == 0 ? 100 : 100000;
        const Engine engine(testing::make_mlp(sizes), options, {&communicator, Device::cpu, 0});
      },
      false);
  for (const auto& result : results) {
    EXPECT_FALSE(result.succeeded);
    EXPECT_NE(result.message.find("plans other collectives"), std::string::npos) << result.message;
  }
}

TEST(EngineTest, ExportGivesBackWhatWasLoaded) {
  const testing::MlpSizes sizes;
  const auto init = testing::mlp_init(sizes, 9);
  for (int stage = 0; stage <= 3; ++stage) {
    testing::run_threads(3, [&](comm::Communicator& communicator) {
      auto options = small_options();
      options.zero.stage = stage;
      options.zero.param_persistence_threshold = 0;
      Engine engine(testing::make_mlp(sizes), options, {&communicator, Device::cpu, 0});
      engine.load_params(init);
      std::size_t visited = 0;
      engine.export_params([&](layout::ParamId id, const View& values) {
        std::vector<float> expected(static_cast<std::size_t>(values.numel));
        init(id, 0, expected);
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), values.as<float>()));
        ++visited;
      });
      EXPECT_EQ(visited, communicator.rank() == 0 ? engine.layout().params.size() : 0U);
    });
  }
}

TEST(ResidencyTest, RefusesOffloadThatTheStageDoesNotShard) {
  config::ZeroConfig zero;
  zero.optimizer_place = Place::host;
  EXPECT_THROW(residency(zero), ConfigError);
  zero.stage = 2;
  EXPECT_NO_THROW(residency(zero));
  zero.param_place = Place::host;
  EXPECT_THROW(residency(zero), ConfigError);
  zero.stage = 3;
  EXPECT_NO_THROW(residency(zero));
  zero.param_place = Place::nvme;
  EXPECT_THROW(residency(zero), ConfigError);
}

TEST(EngineTest, HostMemoryIsAskedForAllRanksOfTheMachineByKindOfBuffer) {
  const testing::MlpSizes sizes;
  testing::run_threads(2, [&](comm::Communicator& communicator) {
    auto options = small_options();
    RankContext rank{&communicator, Device::cpu, 0, nullptr, communicator.rank(), 2};
    Bytes need;
    {
      const Engine engine(testing::make_mlp(sizes), options, rank);
      need = engine.program().device_arena + engine.program().host_arena;
    }
    options.host_limit = need * 2;
    const Engine fits(testing::make_mlp(sizes), options, rank);
    options.host_limit = need * 2 - Bytes{1};
    try {
      const Engine engine(testing::make_mlp(sizes), options, rank);
      ADD_FAILURE() << "was not refused";
    } catch (const ConfigError& error) {
      const std::string text = error.what();
      for (const auto* part : {"2 ranks of this machine need", "--host_memory", "param_full"}) {
        EXPECT_NE(text.find(part), std::string::npos) << text;
      }
    }
  });
}

}  // namespace
}  // namespace zt::zero
