#include "plan/measure.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/device_costs.h"
#include "schedule/test_model.h"

namespace zt::plan {
namespace {

using schedule::BufferKind;
using schedule::BuildOptions;
using schedule::LayerInfo;
using schedule::ModelInfo;
using schedule::UnitInfo;

BuildOptions stage_options(int stage, int world) {
  BuildOptions options;
  options.world = world;
  options.micro_steps = 2;
  options.compute = options.wire = DType::bf16;
  options.residency.states_sharded = stage >= 1;
  options.residency.grads_sharded = stage >= 2;
  options.residency.params_sharded = stage >= 3;
  options.residency.reduce_at = stage >= 2 ? ReduceAt::micro_step : ReduceAt::boundary;
  options.prefetch = {0};
  return options;
}

UnitInfo unit_of(std::int64_t padded, int world) {
  return {"u", {padded}, {padded / world}, {{padded / world}}};
}

/// Embedding of 256 elements, one block of 512, head of 128; two ranks.
ModelInfo three_layers() {
  ModelInfo model;
  for (const std::int64_t padded : {256, 512, 128}) model.units.push_back(unit_of(padded, 2));
  LayerInfo embedding{.name = "embedding", .units = {0}, .output = {1024}};
  embedding.backward_reads_params = false;
  embedding.forward_flops = 10;
  LayerInfo block{.name = "block", .units = {1}, .output = {1024}, .stash_all = {4096}};
  block.stash_selective = {1024};
  block.forward_scratch = {512};
  block.backward_scratch_all = {2048};
  block.backward_scratch_selective = {2560};
  block.library = {4000};
  block.forward_flops = 100;
  LayerInfo loss{.name = "loss", .units = {2}};
  loss.backward_scratch_all = loss.backward_scratch_selective = {512};
  loss.gives_loss = true;
  loss.forward_flops = 1000;
  loss.library = {3000};
  model.layers = {embedding, block, loss};
  return model;
}

struct Expected {
  BufferKind kind;
  std::int64_t bytes;
};

void expect_kinds(const schedule::ArenaPeak& arena, const std::vector<Expected>& expected) {
  std::int64_t sum = 0;
  for (const auto& [kind, bytes] : expected) {
    EXPECT_EQ(arena.of(kind).value, bytes) << to_string(kind);
    sum += bytes;
  }
  std::int64_t all = 0;
  for (const auto kind : arena.kinds) all += kind.value;
  EXPECT_EQ(all, sum) << "a kind that was not expected";
  EXPECT_EQ(all + arena.unused.value, arena.arena.value);
  EXPECT_GE(arena.unused.value, 0);
}

// Every stage peaks in the block's backward: activations of the embedding (1024), gradients of both
// activations (2 x 1024), the block's stash (4096) and scratch (2048). 896 elements in all.
std::vector<Expected> at_block_backward(std::vector<Expected> rest) {
  rest.insert(rest.end(), {{BufferKind::scalars, (2 * (3 + 2) + 17) * 8},
                           {BufferKind::activation, 1024},
                           {BufferKind::grad_activation, 2048},
                           {BufferKind::stash, 4096},
                           {BufferKind::scratch, 2048}});
  return rest;
}

TEST(MeasureTest, Stage0HoldsEverythingOnEveryRank) {
  const auto model = three_layers();
  const auto report = measure(build(model, stage_options(0, 2)), model, Device::cpu, 2);
  EXPECT_EQ(report.device.operation_text, "backward L1");
  EXPECT_EQ(report.device.variant, schedule::VariantKind::first);
  expect_kinds(report.device, at_block_backward({{BufferKind::param_full, 2 * 896},
                                                 {BufferKind::grad_full, 4 * 896},
                                                 {BufferKind::master_shard, 4 * 896},
                                                 {BufferKind::exp_avg, 4 * 896},
                                                 {BufferKind::exp_avg_sq, 4 * 896}}));
}

TEST(MeasureTest, Stage1HalvesTheStatesOfTwoRanks) {
  const auto model = three_layers();
  const auto report = measure(build(model, stage_options(1, 2)), model, Device::cpu, 2);
  expect_kinds(report.device, at_block_backward({{BufferKind::param_full, 2 * 896},
                                                 {BufferKind::grad_full, 4 * 896},
                                                 {BufferKind::master_shard, 2 * 896},
                                                 {BufferKind::exp_avg, 2 * 896},
                                                 {BufferKind::exp_avg_sq, 2 * 896}}));
}

TEST(MeasureTest, Stage2KeepsOneWholeGradientAtATime) {
  const auto model = three_layers();
  const auto report = measure(build(model, stage_options(2, 2)), model, Device::cpu, 2);
  expect_kinds(report.device, at_block_backward({{BufferKind::param_full, 2 * 896},
                                                 {BufferKind::grad_full, 2 * 512},
                                                 {BufferKind::grad_shard, 4 * 448},
                                                 {BufferKind::master_shard, 2 * 896},
                                                 {BufferKind::exp_avg, 2 * 896},
                                                 {BufferKind::exp_avg_sq, 2 * 896}}));
}

TEST(MeasureTest, Stage3KeepsOneWholeParameterAtATime) {
  const auto model = three_layers();
  const auto report = measure(build(model, stage_options(3, 2)), model, Device::cpu, 2);
  EXPECT_EQ(report.device.operation_text, "backward L1");
  expect_kinds(report.device, at_block_backward({{BufferKind::param_full, 2 * 512},
                                                 {BufferKind::param_shard, 2 * 448},
                                                 {BufferKind::grad_full, 2 * 512},
                                                 {BufferKind::grad_shard, 4 * 448},
                                                 {BufferKind::master_shard, 2 * 896},
                                                 {BufferKind::exp_avg, 2 * 896},
                                                 {BufferKind::exp_avg_sq, 2 * 896}}));
}

TEST(MeasureTest, OffloadMovesStatesAndGradientsToTheHost) {
  const auto model = three_layers();
  auto options = stage_options(2, 2);
  options.residency.state_place = Place::host;
  const auto report = measure(build(model, options), model, Device::cpu, 2);
  for (const auto kind : {BufferKind::master_shard, BufferKind::exp_avg, BufferKind::exp_avg_sq,
                          BufferKind::grad_shard}) {
    EXPECT_EQ(report.device.of(kind).value, 0) << to_string(kind);
    EXPECT_EQ(report.host.of(kind).value, 4 * 448) << to_string(kind);
  }
  EXPECT_EQ(report.host.of(BufferKind::param_out).value, 2 * 448);
}

TEST(MeasureTest, TheReportIsTheArenaOfTheProgram) {
  for (int stage = 0; stage <= 3; ++stage) {
    for (const auto recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
      for (const bool offload : {false, true}) {
        if (offload && stage == 0) continue;
        const auto model = schedule::test_model(12, stage % 2 == 0, 4, {200});
        auto options = stage_options(stage, 4);
        options.recompute = recompute;
        options.residency.state_place = offload ? Place::host : Place::device;
        const auto program = build(model, options);
        const auto report = measure(program, model, Device::cuda, 4);
        std::int64_t device = report.device.unused.value;
        for (const auto kind : report.device.kinds) device += kind.value;
        std::int64_t items = report.host.unused.value;
        for (const auto& item : report.host.items) items += item.bytes.value;
        EXPECT_EQ(device, program.device_arena.value);
        EXPECT_EQ(items, program.host_arena.value);
        EXPECT_GE(report.device.unused.value, 0);
        const auto fixed = device_costs(Device::cuda, 4);
        EXPECT_EQ(report.device_total(),
                  program.device_arena + fixed.context + fixed.communicator + report.library);
      }
    }
  }
}

TEST(MeasureTest, LibraryIsTheHungriestLayerAndCpuRanksHaveNoFixedCosts) {
  const auto model = three_layers();
  const auto report = measure(build(model, stage_options(0, 2)), model, Device::cpu, 2);
  EXPECT_EQ(report.library.value, 4000);
  EXPECT_EQ(report.library_layer, "block");
  EXPECT_EQ(report.context.value + report.communicator.value, 0);
  EXPECT_EQ(device_costs(Device::cuda, 1).communicator.value, 0);
  EXPECT_GT(device_costs(Device::cuda, 2).communicator.value, 0);
}

TEST(MeasureTest, MemoryFallsWithTheStageAndTheBucket) {
  for (int stage = 0; stage <= 3; ++stage) {
    std::int64_t last = 0;
    for (const std::int64_t bucket : {256, 1000, 10'000, 100'000}) {
      const auto model = schedule::test_model(40, true, 4, {bucket});
      const auto report = measure(build(model, stage_options(stage, 4)), model, Device::cpu, 4);
      EXPECT_GE(report.device_total().value, last) << "stage " << stage << " bucket " << bucket;
      last = report.device_total().value;
      if (stage == 0) continue;
      const auto before = measure(build(model, stage_options(stage - 1, 4)), model, Device::cpu, 4);
      EXPECT_LT(report.device_total(), before.device_total()) << "stage " << stage;
    }
  }
}

// ZeRO (Rajbhandari et al., 2020), figure 1: 7.5B parameters, 64 ranks. The paper counts 2-byte
// gradients; ours are fp32 where they accumulate: 18, 6 + 12/64, 2 + 16/64 and 18/64 bytes.
TEST(MeasureTest, ModelStatesOfFigure1WithOurDtypes) {
  constexpr int kWorld = 64;
  constexpr std::int64_t kUnit = 75'000'000 / (64 * kWorld) * (64 * kWorld);
  constexpr int kUnits = 100;
  auto model = schedule::test_model(kUnits - 2, false, kWorld, {50'000'000});
  for (auto& unit : model.units) unit = unit_of(kUnit, kWorld);
  const double total = static_cast<double>(kUnit) * kUnits;
  const double expected[] = {18, 6 + 12. / 64, 2 + 16. / 64, 18. / 64};
  for (int stage = 0; stage <= 3; ++stage) {
    const auto program = build(model, stage_options(stage, kWorld));
    double states = 0;
    for (const auto& buffer : program.buffers) {
      if (buffer.lifetime != schedule::Lifetime::micro && buffer.kind != BufferKind::scalars) {
        states += static_cast<double>(buffer.bytes().value);
      }
    }
    EXPECT_DOUBLE_EQ(states / total, expected[stage]) << "stage " << stage;
    const auto report = measure(program, model, Device::cuda, kWorld);
    EXPECT_GE(static_cast<double>(report.device.arena.value), states);
    EXPECT_LT(static_cast<double>(report.device.arena.value), states + 10. * kUnit) << stage;
  }
}

TEST(StepCostsTest, CountsWhatOneRankSendsInAStep) {
  const auto model = three_layers();
  const auto sent = [&](int stage) {
    return step_costs(build(model, stage_options(stage, 2)), model, 2, 2).sent.value;
  };
  // Half of everything leaves a rank: gradients in bf16 on the wire, then
  EXPECT_EQ(sent(0), 896 + 2 * 896);  // the reduced gradient in fp32
  EXPECT_EQ(sent(1), 896 + 896);      // the parameters in bf16
  EXPECT_EQ(sent(2), 2 * 896 + 896);  // gradients in both micro-steps
  EXPECT_EQ(sent(3),
            2 * 896 + 2 * 896);  // units stay from forward to backward here: too few layers
}

TEST(StepCostsTest, RecomputationAddsForwards) {
  const auto model = three_layers();
  auto options = stage_options(0, 2);
  const double plain = step_costs(build(model, options), model, 2, 2).flops;
  EXPECT_EQ(plain, 2 * 3 * (10 + 100 + 1000));
  options.recompute = Recompute::full;
  EXPECT_EQ(step_costs(build(model, options), model, 2, 2).flops, plain + 2 * 100);
}

TEST(StepCostsTest, OffloadSendsGradientsDownAndParametersUp) {
  const auto model = three_layers();
  auto options = stage_options(1, 2);
  EXPECT_EQ(step_costs(build(model, options), model, 2, 2).host_link.value, 0);
  options.residency.state_place = Place::host;
  EXPECT_EQ(step_costs(build(model, options), model, 2, 2).host_link.value, 4 * 448 + 2 * 448);
}

TEST(PrintTest, NamesThePeakAndTheKinds) {
  const auto model = three_layers();
  const auto text = print(measure(build(model, stage_options(2, 2)), model, Device::cuda, 2));
  EXPECT_NE(text.find("backward L1"), std::string::npos) << text;
  EXPECT_NE(text.find("master_shard"), std::string::npos) << text;
  EXPECT_NE(text.find("library 3.9 KiB (block)"), std::string::npos) << text;
}

}  // namespace
}  // namespace zt::plan
