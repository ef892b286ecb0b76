// The equivalence gate: at equal reduce_at and world size, every stage, offload, bucket size,
// recompute mode and gathering policy gives the same bits.
#include <gtest/gtest.h>

#include <mutex>
#include <sstream>
#include <vector>

#include "testing/mlp_model.h"
#include "testing/rank_launcher.h"
#include "zero/engine.h"
#include "zero/state_io.h"

namespace zt::zero {
namespace {

struct Run {
  std::vector<double> losses, norms;
  std::uint64_t hash = 0;
  friend bool operator==(const Run&, const Run&) = default;
};

struct Setup {
  int world = 2;
  int micro_steps = 2;
  int steps = 3;
  bool tied = true;
  EngineOptions options;
};

Run train(const Setup& setup) {
  Run run;
  testing::MlpSizes sizes;
  sizes.tied = setup.tied;
  std::mutex mutex;
  testing::run_threads(setup.world, [&](comm::Communicator& communicator) {
    Engine engine(testing::make_mlp(sizes), setup.options, {&communicator, Device::cpu, 0});
    engine.load_params(testing::mlp_init(sizes, 7));
    for (int step = 0; step < setup.steps; ++step) {
      std::int64_t targets = 0;
      for (int i = 0; i < setup.world * setup.micro_steps; ++i) {
        targets += testing::mlp_targets(testing::mlp_batch(
            sizes, setup.options.shape, static_cast<std::uint64_t>(step * 1000 + i)));
      }
      engine.begin_step(targets);
      for (int m = 0; m < setup.micro_steps; ++m) {
        const int index = step * 1000 + m * setup.world + communicator.rank();
        engine.micro_step(
            testing::mlp_batch(sizes, setup.options.shape, static_cast<std::uint64_t>(index)));
      }
      const auto result = engine.step(1e-2);
      if (communicator.rank() == 0) {
        const std::lock_guard lock(mutex);
        run.losses.push_back(result.loss);
        run.norms.push_back(result.grad_norm);
      }
    }
    const auto hash = hash_params(engine);
    if (communicator.rank() == 0) run.hash = hash;
  });
  return run;
}

Setup base(DType dtype, int world, ReduceAt at) {
  Setup setup;
  setup.world = world;
  setup.options.micro_steps = setup.micro_steps;
  setup.options.shape = {2, 5, false};
  setup.options.precision.compute = dtype;
  setup.options.optimizer.weight_decay = 0.1;
  setup.options.zero.reduce_at = at;
  setup.options.zero.param_persistence_threshold = 0;
  setup.options.zero.retain_auto = false;
  return setup;
}

struct Case {
  DType dtype;
  int world;
  ReduceAt at;
  DType sums = DType::f32;
};

/// Everything that may leave the device goes to disk; some parameters stay in host memory.
void on_disk(config::ZeroConfig& zero) {
  zero.optimizer_place = Place::nvme;
  if (zero.param_place != Place::device) zero.param_place = Place::nvme;
  zero.optimizer_nvme_path = zero.param_nvme_path = ::testing::TempDir() + "zt_gate";
  zero.optimizer_buffers = 2;
  zero.param_in_host = 500;
  zero.aio_block_size = 4096;
}

class GateTest : public ::testing::TestWithParam<Case> {};

TEST_P(GateTest, StagesOffloadBucketsRecomputeAndGatheringGiveTheSameBits) {
  const auto& param = GetParam();
  auto reference = base(param.dtype, param.world, param.at);
  reference.options.precision.grad_accum = param.sums;
  const auto expected = train(reference);
  ASSERT_EQ(expected.losses.size(), 3U);
  EXPECT_LT(expected.losses.back(), expected.losses.front());
  int compared = 0;
  for (int stage = 0; stage <= 3; ++stage) {
    for (const bool offload : {false, true}) {
      if (offload && stage == 0) continue;
      for (int mode = 0; mode < 4; ++mode) {
        auto setup = reference;
        auto& zero = setup.options.zero;
        zero.stage = stage;
        zero.optimizer_place = offload ? Place::host : Place::device;
        zero.param_place = offload && stage == 3 && mode != 1 ? Place::host : Place::device;
        zero.offload_ratio = mode == 1 || mode == 3 ? 0.4 : 1;
        zero.grad_place = mode < 2 ? Place::host : Place::device;
        if (offload && mode == 2) on_disk(zero);
        zero.activations_on_host = mode <= 1;
        zero.reduce_beside = mode == 0 || mode == 3;
        zero.reduce_bucket_size = mode == 1 ? 1 : mode == 2 ? 700 : 500'000'000;
        zero.recompute = mode == 0   ? Recompute::full
                         : mode == 1 ? Recompute::selective
                                     : Recompute::none;
        zero.retain_auto = mode == 3;
        zero.prefetch_bucket_size = mode == 2 ? 0 : 50'000'000;
        zero.param_persistence_threshold = mode == 3 ? 1000 : 0;
        const auto run = train(setup);
        std::ostringstream what;
        what << "stage " << stage << " offload " << offload << " mode " << mode;
        EXPECT_EQ(run.losses, expected.losses) << what.str();
        EXPECT_EQ(run.norms, expected.norms) << what.str();
        EXPECT_EQ(run.hash, expected.hash) << what.str();
        ++compared;
      }
    }
  }
  EXPECT_EQ(compared, 28);
  auto all_on_device = reference;
  all_on_device.options.zero.stage = 2;
  all_on_device.options.zero.optimizer_place = Place::host;
  all_on_device.options.zero.offload_ratio = 0;
  EXPECT_EQ(train(all_on_device), expected);
}

INSTANTIATE_TEST_SUITE_P(
    Gate, GateTest,
    ::testing::Values(
        Case{DType::f32, 2, ReduceAt::boundary}, Case{DType::f32, 2, ReduceAt::micro_step},
        Case{DType::bf16, 2, ReduceAt::boundary}, Case{DType::bf16, 2, ReduceAt::micro_step},
        Case{DType::f32, 4, ReduceAt::micro_step}, Case{DType::f32, 3, ReduceAt::boundary},
        Case{DType::bf16, 4, ReduceAt::boundary}, Case{DType::bf16, 1, ReduceAt::boundary},
        Case{DType::f16, 2, ReduceAt::boundary}, Case{DType::f16, 3, ReduceAt::micro_step},
        Case{DType::bf16, 2, ReduceAt::micro_step, DType::bf16}),
    [](const ::testing::TestParamInfo<Case>& it) {
      return std::string(to_string(it.param.dtype)) + "World" + std::to_string(it.param.world) +
             (it.param.at == ReduceAt::boundary ? "Boundary" : "MicroStep") +
             (it.param.sums == DType::f32 ? "" : "NarrowSums");
    });

/// Evaluation, export and saving between steps see what the step before them has left behind, and
/// change nothing.
TEST(OffloadTest, WhatComesBetweenStepsSeesTheirParameters) {
  for (const int stage : {1, 2, 3}) {
    auto setup = base(DType::bf16, 2, ReduceAt::micro_step);
    setup.options.zero.stage = stage;
    std::vector<double> losses[2];
    std::vector<std::uint64_t> hashes[2];
    for (const bool offload : {false, true}) {
      setup.options.zero.optimizer_place = offload ? Place::host : Place::device;
      setup.options.zero.param_place = offload && stage == 3 ? Place::host : Place::device;
      std::mutex mutex;
      const testing::MlpSizes sizes;
      testing::run_threads(2, [&](comm::Communicator& communicator) {
        Engine engine(testing::make_mlp(sizes), setup.options, {&communicator, Device::cpu, 0});
        engine.load_params(testing::mlp_init(sizes, 7));
        for (std::uint64_t step = 0; step < 4; ++step) {
          engine.begin_step(100);
          for (std::uint64_t m = 0; m < 2; ++m) {
            engine.micro_step(testing::mlp_batch(
                sizes, setup.options.shape,
                step * 100 + m * 10 + static_cast<std::uint64_t>(communicator.rank())));
          }
          static_cast<void>(engine.step(1e-2));
          if (step == 2) continue;  // the next step follows directly
          const double loss = engine.evaluate(testing::mlp_batch(sizes, setup.options.shape, 5));
          std::size_t written = 0;
          engine.start_snapshot().write([&](const layout::StateSlice& slice, const View& values) {
            written += static_cast<std::size_t>(slice.length.value + values.numel);
          });
          EXPECT_GT(written, 0U);
          const auto hash = hash_params(engine);
          if (communicator.rank() != 0) continue;
          const std::lock_guard lock(mutex);
          losses[offload].push_back(loss);
          hashes[offload].push_back(hash);
        }
      });
    }
    EXPECT_EQ(losses[0], losses[1]) << stage;
    EXPECT_EQ(hashes[0], hashes[1]) << stage;
    EXPECT_EQ(losses[0].size(), 3U);
  }
}

double relative(double a, double b) { return std::abs(a - b) / std::abs(b); }

/// The same eight batches per step however they are dealt: world x micro_steps = 8.
TEST(ConsistencyTest, WorldSizeAccumulationAndReduceAtAgreeUpToRounding) {
  auto reference = base(DType::f32, 1, ReduceAt::boundary);
  reference.micro_steps = reference.options.micro_steps = 8;
  reference.steps = 30;
  const auto expected = train(reference);
  for (const int world : {1, 2, 4}) {
    for (const auto at : {ReduceAt::boundary, ReduceAt::micro_step}) {
      auto setup = base(DType::f32, world, at);
      setup.micro_steps = setup.options.micro_steps = 8 / world;
      setup.steps = 30;
      setup.options.zero.stage = 3;
      const auto run = train(setup);
      for (std::size_t i = 0; i < expected.losses.size(); ++i) {
        EXPECT_LT(relative(run.losses[i], expected.losses[i]), 1e-6) << world << " step " << i;
        EXPECT_LT(relative(run.norms[i], expected.norms[i]), 1e-4) << world << " step " << i;
      }
    }
  }
}

TEST(EngineTest, NativeReductionAgreesUpToRounding) {
  auto setup = base(DType::f32, 4, ReduceAt::micro_step);
  const auto expected = train(setup);
  setup.options.zero.reduce = Reduce::native;
  setup.options.zero.stage = 2;
  const auto run = train(setup);
  for (std::size_t i = 0; i < expected.losses.size(); ++i) {
    EXPECT_LT(relative(run.losses[i], expected.losses[i]), 1e-6);
  }
}

}  // namespace
}  // namespace zt::zero
