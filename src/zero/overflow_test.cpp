// fp16 training with a loss scale: what a gradient that is not finite does to a step.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <mutex>
#include <vector>

#include "testing/mlp_model.h"
#include "testing/rank_launcher.h"
#include "zero/engine.h"

namespace zt::zero {
namespace {

using layer::BatchShape;
using layer::Keep;
using layer::TensorSpec;

/// The layer it wraps; while `armed`, its backward leaves an infinity in the first gradient.
class InfectedLayer final : public layer::Layer {
 public:
  InfectedLayer(std::unique_ptr<layer::Layer> inner, const bool* armed)
      : inner_(std::move(inner)), armed_(armed) {}
  [[nodiscard]] std::string name() const override { return inner_->name(); }
  [[nodiscard]] const std::vector<layout::ParamId>& params() const override {
    return inner_->params();
  }
  [[nodiscard]] TensorSpec output(const BatchShape& shape, DType compute) const override {
    return inner_->output(shape, compute);
  }
  [[nodiscard]] std::vector<TensorSpec> stash(const BatchShape& shape, DType compute,
                                              Keep keep) const override {
    return inner_->stash(shape, compute, keep);
  }
  [[nodiscard]] std::vector<TensorSpec> forward_scratch(const BatchShape& shape, DType compute,
                                                        Keep keep) const override {
    return inner_->forward_scratch(shape, compute, keep);
  }
  [[nodiscard]] std::vector<TensorSpec> backward_scratch(const BatchShape& shape, DType compute,
                                                         Keep keep) const override {
    return inner_->backward_scratch(shape, compute, keep);
  }
  [[nodiscard]] Bytes library(const BatchShape& shape, DType compute, Device device,
                              bool deterministic) const override {
    return inner_->library(shape, compute, device, deterministic);
  }
  [[nodiscard]] double forward_flops(const BatchShape& shape) const override {
    return inner_->forward_flops(shape);
  }
  void forward(const layer::Context& context, Keep keep, const layer::Forward& io) const override {
    inner_->forward(context, keep, io);
  }
  void backward(const layer::Context& context, Keep keep,
                const layer::Backward& io) const override {
    inner_->backward(context, keep, io);
    if (*armed_) io.grads[0].view(-1)[0] = std::numeric_limits<float>::infinity();
  }

 private:
  std::unique_ptr<layer::Layer> inner_;
  const bool* armed_;
};

EngineOptions half_options() {
  EngineOptions options;
  options.shape = {2, 5, false};
  options.micro_steps = 2;
  options.precision.compute = DType::f16;
  options.optimizer.weight_decay = 0.1;
  options.zero.param_persistence_threshold = 0;
  return options;
}

constexpr int kWorld = 3, kBadRank = 1, kBadStep = 2;

struct Run {
  std::vector<StepResult> steps;
  std::uint64_t hash = 0;
  std::int64_t applied = 0;
};

/// One rank's steps over the batches that `indices` names. With `infected`, the second micro-step
/// of step kBadStep on rank kBadRank gets an infinite gradient.
Run train_rank(comm::Communicator& communicator, const EngineOptions& options,
               const std::vector<int>& indices, bool infected) {
  const testing::MlpSizes sizes;
  bool armed = false;
  auto model = testing::make_mlp(sizes);
  model.layers[1] = std::make_unique<InfectedLayer>(std::move(model.layers[1]), &armed);
  Engine engine(std::move(model), options, {&communicator, Device::cpu, 0});
  engine.load_params(testing::mlp_init(sizes, 7));
  Run run;
  for (const int index : indices) {
    const auto batch = [&](int m, int rank) {
      return testing::mlp_batch(sizes, options.shape,
                                static_cast<std::uint64_t>(index * 100 + m * 10 + rank));
    };
    std::int64_t targets = 0;
    for (int m = 0; m < options.micro_steps; ++m) {
      for (int r = 0; r < kWorld; ++r) targets += testing::mlp_targets(batch(m, r));
    }
    engine.begin_step(targets);
    for (int m = 0; m < options.micro_steps; ++m) {
      armed = infected && index == kBadStep && m == 1 && communicator.rank() == kBadRank;
      engine.micro_step(batch(m, communicator.rank()));
    }
    run.steps.push_back(engine.step(1e-2));
  }
  run.hash = hash_params(engine);
  run.applied = engine.applied_steps();
  return run;
}

/// All ranks; each must report the same steps.
Run train(const EngineOptions& options, const std::vector<int>& indices, bool infected) {
  std::vector<Run> runs(kWorld);
  testing::run_threads(kWorld, [&](comm::Communicator& communicator) {
    runs[static_cast<std::size_t>(communicator.rank())] =
        train_rank(communicator, options, indices, infected);
  });
  for (const Run& run : runs) {
    EXPECT_EQ(run.applied, runs[0].applied);
    for (std::size_t i = 0; i < indices.size(); ++i) {
      EXPECT_EQ(run.steps.at(i).skipped, runs[0].steps.at(i).skipped);
      EXPECT_EQ(run.steps[i].cause, runs[0].steps[i].cause);
      EXPECT_EQ(run.steps[i].loss_scale, runs[0].steps[i].loss_scale);
      EXPECT_EQ(run.steps[i].next_loss_scale, runs[0].steps[i].next_loss_scale);
    }
  }
  return runs[0];
}

TEST(OverflowTest, OneRanksInfinityLeavesOutExactlyThatStepOnAllRanks) {
  for (int stage = 0; stage <= 3; ++stage) {
    for (const bool offload : {false, true}) {
      if (offload && stage == 0) continue;
      auto options = half_options();
      options.zero.stage = stage;
      options.zero.optimizer_place = offload ? Place::host : Place::device;
      const auto hit = train(options, {0, 1, kBadStep, 3, 4}, true);
      const auto without = train(options, {0, 1, 3, 4}, false);
      SCOPED_TRACE(::testing::Message() << "stage " << stage << " offload " << offload);
      EXPECT_EQ(hit.applied, 4);
      EXPECT_EQ(without.applied, 4);
      EXPECT_EQ(hit.hash, without.hash);
      for (std::size_t i = 0; i < hit.steps.size(); ++i) {
        EXPECT_EQ(hit.steps[i].skipped, i == kBadStep) << i;
      }
      EXPECT_EQ(hit.steps[kBadStep].cause, "gradient of blocks.0 (shard of rank 0)");
      EXPECT_EQ(hit.steps[3].loss, without.steps[2].loss);
      EXPECT_EQ(hit.steps[4].grad_norm, without.steps[3].grad_norm);
    }
  }
}

TEST(OverflowTest, AFirstStepThatIsLeftOutMovesTheParametersAsTheyAre) {
  auto options = half_options();
  options.zero.stage = 3;
  const auto untouched = train(options, {}, false).hash;
  for (const double ratio : {1.0, 0.4}) {
    for (const auto params : {Place::device, Place::host}) {
      options.zero.optimizer_place = Place::host;
      options.zero.param_place = params;
      options.zero.offload_ratio = ratio;
      const auto run = train(options, {kBadStep}, true);
      EXPECT_EQ(run.applied, 0);
      EXPECT_EQ(run.hash, untouched) << ratio;
    }
  }
}

TEST(OverflowTest, TheScaleFallsAndTheRunGoesOn) {
  auto options = half_options();
  options.zero.stage = 2;
  options.precision.hysteresis = 1;
  const auto run = train(options, {0, 1, kBadStep, 3}, true);
  EXPECT_EQ(run.steps[kBadStep].loss_scale, 65536);
  EXPECT_EQ(run.steps[kBadStep].next_loss_scale, 32768);
  EXPECT_EQ(run.steps[3].loss_scale, 32768);
  EXPECT_FALSE(run.steps[3].skipped);
  EXPECT_TRUE(std::isfinite(run.steps[3].grad_norm));
}

TEST(OverflowTest, AScaleThatIsTooLargeFallsUntilItFits) {
  auto options = half_options();
  options.precision.initial_scale_power = 30;
  options.precision.hysteresis = 1;
  const auto run = train(options, std::vector<int>(16, 0), false);  // one batch again and again
  std::size_t skipped = 0;
  while (run.steps.at(skipped).skipped) ++skipped;
  EXPECT_GT(skipped, 3U);
  for (std::size_t i = 0; i < skipped; ++i) {
    EXPECT_EQ(run.steps[i].loss_scale, std::ldexp(1.0, 30 - static_cast<int>(i)));
    EXPECT_EQ(run.steps[i].loss, run.steps[0].loss) << "the parameters changed in step " << i;
  }
  EXPECT_EQ(run.applied, static_cast<std::int64_t>(run.steps.size() - skipped));
  EXPECT_LT(run.steps.back().loss, run.steps[0].loss);
}

TEST(OverflowTest, TheScaleLeavesLossAndNormAsTheyAre) {
  auto options = half_options();
  const std::vector<int> steps{0, 1, 2, 3, 4, 5};
  options.precision.compute = DType::f32;
  const auto exact = train(options, steps, false);
  options.precision.compute = DType::f16;
  for (const double scale : {64.0, 1000.0, 65536.0}) {
    options.precision.loss_scale = scale;
    const auto run = train(options, steps, false);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      EXPECT_EQ(exact.steps[i].loss_scale, 0);
      EXPECT_EQ(run.steps[i].loss_scale, scale);
      // Values rounded to 11 bits, 2^-11 = 5e-4 each, that average out over the targets.
      EXPECT_NEAR(run.steps[i].loss, exact.steps[i].loss, 5e-4 * exact.steps[i].loss);
      EXPECT_NEAR(run.steps[i].grad_norm, exact.steps[i].grad_norm,
                  4e-3 * exact.steps[i].grad_norm);
    }
  }
}

TEST(OverflowTest, AtTheSmallestScaleAllRanksStopAndNameTheUnit) {
  auto options = half_options();
  options.precision.hysteresis = 1;
  options.precision.min_loss_scale = 65536;
  const auto results = testing::run_threads(
      kWorld,
      [&](comm::Communicator& communicator) {
        (void)train_rank(communicator, options, {0, 1, kBadStep, 3}, true);
      },
      false);
  for (const auto& result : results) {
    EXPECT_FALSE(result.succeeded);
    EXPECT_NE(result.message.find("[optim.loss_scaler] step 3: gradients overflow"),
              std::string::npos)
        << result.message;
    EXPECT_NE(result.message.find("gradient of blocks.0"), std::string::npos) << result.message;
  }
}

TEST(OverflowTest, TheScaleOfACheckpointIsTheScaleOfTheNextStep) {
  const testing::MlpSizes sizes;
  testing::run_threads(1, [&](comm::Communicator& communicator) {
    auto options = half_options();
    options.micro_steps = 1;
    Engine engine(testing::make_mlp(sizes), options, {&communicator, Device::cpu, 0});
    engine.load_params(testing::mlp_init(sizes, 1));
    const auto batch = testing::mlp_batch(sizes, options.shape, 3);
    const auto step = [&] {
      engine.begin_step(testing::mlp_targets(batch));
      engine.micro_step(batch);
      return engine.step(0.0);
    };
    const auto norm = step().grad_norm;
    EXPECT_EQ(engine.loss_scaler_state()->iteration, 1);
    engine.set_loss_scaler_state(
        {.scale = 1024, .iteration = 41, .last_overflow_iter = 40, .hysteresis = 1});
    const auto result = step();
    EXPECT_EQ(result.loss_scale, 1024);
    EXPECT_NEAR(result.grad_norm, norm, 4e-3 * norm) << "the old scale was taken out";
    EXPECT_EQ(engine.loss_scaler_state()->iteration, 42);
    EXPECT_EQ(engine.loss_scaler_state()->hysteresis, 1);
    options.precision.compute = DType::bf16;
    Engine plain(testing::make_mlp(sizes), options, {&communicator, Device::cpu, 0});
    EXPECT_FALSE(plain.loss_scaler_state());
  });
}

}  // namespace
}  // namespace zt::zero
