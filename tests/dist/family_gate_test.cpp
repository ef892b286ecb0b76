// The equivalence gate on the real layers: Qwen3 and Mamba on in-process ranks, every stage,
// offload, bucket size and recompute mode gives the same loss, gradient norm and parameters to the
// bit.
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>

#include "model/family.h"
#include "model/init.h"
#include "testing/rank_launcher.h"
#include "zero/engine.h"

namespace zt {
namespace {

model::Model small_qwen3(bool tied) {
  model::Qwen3Config config;
  config.hidden = 40;
  config.layers = 3;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.ffn = 56;
  config.vocab = 101;
  config.tied = tied;
  return config;
}

/// Channels, states and taps that are no powers of two.
model::Model small_mamba(bool tied) {
  model::MambaConfig config;
  config.hidden = 24;
  config.layers = 3;
  config.inner = 44;
  config.state = 5;
  config.conv = 3;
  config.rank = 3;
  config.vocab = 101;
  config.tied = tied;
  return config;
}

struct Run {
  std::vector<double> losses, norms;
  std::uint64_t hash = 0;
  friend bool operator==(const Run&, const Run&) = default;
};

layer::Batch make_batch(const layer::BatchShape& shape, std::uint64_t seed, std::int64_t vocab) {
  layer::Batch batch;
  batch.input_ids = at::empty({shape.batch, shape.sequence}, at::kLong);
  batch.targets = at::empty({shape.batch, shape.sequence}, at::kLong);
  batch.position_ids =
      at::arange(shape.sequence, at::kLong).expand({shape.batch, shape.sequence}).contiguous();
  for (std::int64_t i = 0; i < shape.tokens(); ++i) {
    const auto value =
        static_cast<std::int64_t>((seed * 7919 + static_cast<std::uint64_t>(i) * 104729) % 99991);
    batch.input_ids.data_ptr<std::int64_t>()[i] = value % vocab;
    batch.targets.data_ptr<std::int64_t>()[i] = value % 11 == 0 ? -100 : (value * 3 + 1) % vocab;
  }
  return batch;
}

Run train(int world, const model::Model& model, const zero::EngineOptions& options) {
  Run run;
  testing::run_threads(world, [&](comm::Communicator& communicator) {
    zero::Engine engine(model.make(), options, {&communicator, Device::cpu, 0});
    const auto params = engine.layout().params;
    engine.load_params([&](layout::ParamId id, std::int64_t begin, std::span<float> values) {
      model::fill_initial(params.at(static_cast<std::size_t>(id.value)), id.value, 5, begin,
                          values);
    });
    for (std::uint64_t step = 0; step < 2; ++step) {
      engine.begin_step(world * options.micro_steps * (options.shape.tokens() - 1));
      for (int m = 0; m < options.micro_steps; ++m) {
        const auto seed = step * 100 + static_cast<std::uint64_t>(m * world + communicator.rank());
        engine.micro_step(make_batch(options.shape, seed, model.vocab()));
      }
      const auto result = engine.step(1e-2);
      if (communicator.rank() != 0) continue;
      run.losses.push_back(result.loss);
      run.norms.push_back(result.grad_norm);
    }
    const auto hash = zero::hash_params(engine);
    if (communicator.rank() == 0) run.hash = hash;
  });
  return run;
}

struct Case {
  DType dtype;
  int world;
  ReduceAt at;
  model::Model model;
};

class FamilyGateTest : public ::testing::TestWithParam<Case> {};

TEST_P(FamilyGateTest, StagesOffloadBucketsAndRecomputeGiveTheSameBits) {
  const auto& param = GetParam();
  zero::EngineOptions base;
  base.shape = {2, 9, false};
  base.micro_steps = 2;
  base.precision.compute = param.dtype;
  base.optimizer.weight_decay = 0.1;
  base.zero.reduce_at = param.at;
  base.zero.param_persistence_threshold = 0;
  const auto expected = train(param.world, param.model, base);
  ASSERT_EQ(expected.losses.size(), 2U);
  for (const double norm : expected.norms) ASSERT_TRUE(std::isfinite(norm)) << "a step was skipped";
  for (int stage = 0; stage <= 3; ++stage) {
    for (const bool offload : {false, true}) {
      for (const auto recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
        if (offload && stage == 0) continue;
        auto options = base;
        options.zero.stage = stage;
        options.zero.recompute = recompute;
        options.zero.reduce_bucket_size = recompute == Recompute::selective ? 1 : 3000;
        options.zero.reduce_beside = recompute != Recompute::selective;
        options.zero.optimizer_place = offload ? Place::host : Place::device;
        options.zero.param_place = offload && stage == 3 ? Place::host : Place::device;
        EXPECT_EQ(train(param.world, param.model, options), expected)
            << "stage " << stage << " offload " << offload << " recompute "
            << static_cast<int>(recompute);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Gate, FamilyGateTest,
    ::testing::Values(Case{DType::f32, 2, ReduceAt::micro_step, small_qwen3(true)},
                      Case{DType::f32, 4, ReduceAt::boundary, small_qwen3(false)},
                      Case{DType::bf16, 2, ReduceAt::boundary, small_qwen3(true)},
                      Case{DType::bf16, 4, ReduceAt::micro_step, small_qwen3(true)},
                      Case{DType::f16, 2, ReduceAt::micro_step, small_qwen3(true)},
                      Case{DType::f32, 2, ReduceAt::micro_step, small_mamba(false)},
                      Case{DType::bf16, 2, ReduceAt::boundary, small_mamba(true)},
                      Case{DType::bf16, 4, ReduceAt::micro_step, small_mamba(true)},
                      Case{DType::f16, 2, ReduceAt::micro_step, small_mamba(true)}),
    [](const ::testing::TestParamInfo<Case>& it) {
      return (it.param.model.as<model::MambaConfig>() != nullptr ? "Mamba" : "Qwen3") +
             std::string(to_string(it.param.dtype)) + "World" + std::to_string(it.param.world) +
             (it.param.at == ReduceAt::boundary ? "Boundary" : "MicroStep");
    });

}  // namespace
}  // namespace zt
