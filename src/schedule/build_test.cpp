#include "schedule/build.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "schedule/check.h"
#include "schedule/place.h"
#include "schedule/test_model.h"

namespace zt::schedule {
namespace {

Residency row(int stage, ReduceAt reduce_at) {
  Residency residency;
  residency.states_sharded = stage >= 1;
  residency.grads_sharded = stage >= 2;
  residency.params_sharded = stage >= 3;
  residency.reduce_at = reduce_at;
  return residency;
}

/// Every combination of the options that changes the list of operations.
template <typename F>
void for_all(F&& visit) {
  for (int stage = 0; stage <= 3; ++stage)
    for (const auto at : {ReduceAt::boundary, ReduceAt::micro_step})
      for (const int world : {1, 2, 4})
        for (const int micro_steps : {1, 2, 4})
          for (const auto recompute : {Recompute::none, Recompute::selective, Recompute::full})
            for (int choice = 0; choice < 20; ++choice) {
              const int variant = choice % 10;
              BuildOptions options;
              options.beside = choice >= 10;
              options.world = world;
              options.micro_steps = micro_steps;
              options.recompute = recompute;
              options.residency = row(stage, at);
              options.compute = variant % 2 == 0 ? DType::bf16 : DType::f32;
              options.wire = options.compute;
              options.retain = variant == 1 || variant == 4;
              options.prefetch = {variant == 2 ? 0 : 300};
              options.persistence_threshold = {variant == 3 ? 128 * world : 0};
              auto& residency = options.residency;
              if (variant >= 3 && stage >= 1) residency.state_place = Place::host;
              if (variant >= 4 && variant % 2 == 0 && stage == 3)
                residency.param_place = Place::host;
              if (variant >= 5 && variant < 8) residency.host_ratio = 0.4;
              if (variant >= 8 && stage >= 1) residency.state_place = Place::nvme;
              if (variant == 8 && stage == 3) residency.param_place = Place::nvme;
              residency.param_in_host = {200};
              residency.staged_units = variant == 8 ? 2 : 4;
              options.activations_on_host = variant == 2 || variant == 6;
              if (variant >= 6) residency.grad_place = Place::device;
              visit(options, stage);
            }
}

TEST(BuildTest, EveryCombinationIsProvenByTheChecker) {
  int count = 0;
  for_all([&](const BuildOptions& options, int stage) {
    const auto model = test_model(4, stage % 2 == 0, options.world, {200});
    const auto program = build(model, options);
    const auto problems = check(program, options.micro_steps);
    const auto text = print(program);
    ASSERT_TRUE(problems.empty()) << problems.front() << "\nstage " << stage << "\n" << text;
    ++count;
  });
  EXPECT_EQ(count, 4 * 2 * 3 * 3 * 3 * 20);
}

TEST(BuildTest, EveryKindOfOperationBufferStreamAndVariantHasItsOwnName) {
  std::set<std::string> names;
  for (int i = 0; i < kNumOpKinds; ++i) names.insert(to_string(static_cast<OpKind>(i)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kNumOpKinds));
  names.clear();
  for (int i = 0; i < kNumBufferKinds; ++i) names.insert(to_string(static_cast<BufferKind>(i)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kNumBufferKinds));
  EXPECT_STREQ(to_string(OpKind::stash_in), "stash_in");
  EXPECT_STREQ(to_string(OpKind::load_states), "load_states");
  EXPECT_STREQ(to_string(BufferKind::scalars), "scalars");
  EXPECT_STREQ(to_string(Stream::disk_write), "disk_write");
  EXPECT_STREQ(to_string(VariantKind::settle), "settle");
}

TEST(BuildTest, BuildingTwiceGivesTheSameProgram) {
  BuildOptions options;
  options.world = 4;
  options.micro_steps = 4;
  options.residency = row(3, ReduceAt::micro_step);
  const auto model = test_model(4, true, 4, {200});
  EXPECT_EQ(print(build(model, options)), print(build(model, options)));
}

std::int64_t arena(int stage, ReduceAt at, Numel bucket = {100000}) {
  BuildOptions options;
  options.world = 4;
  options.micro_steps = 4;
  options.compute = options.wire = DType::bf16;
  options.residency = row(stage, at);
  options.prefetch = {0};
  const auto model = test_model(40, true, 4, bucket);
  return build(model, options).device_arena.value;
}

TEST(BuildTest, MemoryFallsFromStageToStage) {
  EXPECT_GT(arena(0, ReduceAt::boundary), arena(1, ReduceAt::boundary));
  EXPECT_GT(arena(1, ReduceAt::boundary), arena(2, ReduceAt::micro_step));
  EXPECT_GT(arena(2, ReduceAt::micro_step), arena(3, ReduceAt::micro_step));
}

TEST(BuildTest, StatesTakeTwelveBytesPerParameterOverTheWorld) {
  BuildOptions options;
  options.world = 4;
  options.compute = options.wire = DType::bf16;
  options.residency = row(1, ReduceAt::boundary);
  const auto model = test_model(4, true, 4, {1000});
  const auto program = build(model, options);
  std::int64_t states = 0;
  std::int64_t padded = 0;
  for (const auto& buffer : program.buffers) {
    if (buffer.kind == BufferKind::master_shard || buffer.kind == BufferKind::exp_avg ||
        buffer.kind == BufferKind::exp_avg_sq) {
      states += buffer.bytes().value;
    }
  }
  for (const auto& unit : model.units) padded += unit.padded.value;
  EXPECT_EQ(states, 12 * padded / 4);
}

TEST(BuildTest, GathersFollowTheLiveLimitAndPrefetch) {
  BuildOptions options;
  options.world = 2;
  options.residency = row(3, ReduceAt::micro_step);
  const auto model = test_model(6, false, 2, {1000});
  for (const std::int64_t prefetch : {0, 300, 100000}) {
    options.prefetch = {prefetch};
    const auto program = build(model, options);
    const auto& ops = program.variant(VariantKind::only).operations;
    const auto first_forward = std::find_if(
        ops.begin(), ops.end(), [](const Operation& op) { return op.kind == OpKind::forward; });
    const auto gathers = first_forward - ops.begin();
    EXPECT_EQ(gathers, prefetch == 0 ? 1 : prefetch == 300 ? 2 : 8) << prefetch;
  }
}

TEST(BuildTest, PrefetchBoundsWhatWaitsForItsUseAndGathersOneUnitAtLeast) {
  BuildOptions options;
  options.world = 2;
  options.residency = row(3, ReduceAt::micro_step);
  const auto model = test_model(40, false, 2, {1000});  // units of 128, 256 and 384 elements
  for (const std::int64_t prefetch : {1, 400, 700}) {
    options.prefetch = {prefetch};
    const auto program = build(model, options);
    std::int64_t gathered = 0;
    std::int64_t most = 0;
    for (const auto& op : program.variant(VariantKind::only).operations) {
      for (const auto id : op.starts) {
        if (program.buffer(id).kind == BufferKind::param_full)
          gathered += program.buffer(id).numel.value;
      }
      for (const auto id : op.ends) {
        if (program.buffer(id).kind == BufferKind::param_full)
          gathered -= program.buffer(id).numel.value;
      }
      if (op.kind == OpKind::forward || op.kind == OpKind::backward)
        most = std::max(most, gathered);
    }
    // The current unit, those kept for a use that is near (one at the turn), and what is ahead.
    EXPECT_LE(most, 2 * 384 + std::max<std::int64_t>(prefetch, 384)) << prefetch;
    EXPECT_GE(most, 256 + 384) << "one ahead whatever the limit";
  }
}

BuildOptions offloaded(int world, int stage) {
  BuildOptions options;
  options.world = world;
  options.micro_steps = 2;
  options.compute = options.wire = DType::bf16;
  options.residency = row(stage, ReduceAt::micro_step);
  options.residency.state_place = Place::host;
  return options;
}

TEST(BuildTest, TheFirstForwardWaitsForItsOwnUnitsUploadOnly) {
  const auto program = build(test_model(4, false, 1, {1000}), offloaded(1, 2));
  const auto& boundary = program.variant(VariantKind::boundary).operations;
  int checked = 0;
  for (const auto& op : program.variant(VariantKind::first).operations) {
    if (op.kind != OpKind::forward) continue;
    ASSERT_EQ(op.carried.size(), 1U) << to_string(op);
    EXPECT_EQ(op.carried.front().variant, VariantKind::boundary);
    const auto& upload = boundary.at(static_cast<std::size_t>(op.carried.front().index));
    EXPECT_EQ(upload.kind, OpKind::upload);
    EXPECT_EQ(upload.unit, op.layer);
    ++checked;
  }
  EXPECT_EQ(checked, 5);
}

TEST(BuildTest, TheOptimizerOfTheHostRunsInTheOrderOfTheForward) {
  auto model = test_model(4, true, 2, {1000});
  std::swap(model.layers[1].units, model.layers[3].units);
  const auto program = build(model, offloaded(2, 2));
  std::vector<int> steps;
  for (const auto& op : program.variant(VariantKind::boundary).operations) {
    if (op.kind == OpKind::step) steps.push_back(op.unit);
  }
  EXPECT_EQ(steps, (std::vector<int>{0, 3, 2, 1, 4, 5}));
}

TEST(BuildTest, TheRatioSplitsTheStatesOfEveryUnit) {
  auto options = offloaded(2, 2);
  options.residency.host_ratio = 0.4;
  const auto model = test_model(4, false, 2, {1000});
  const auto program = build(model, options);
  for (std::size_t u = 0; u < model.units.size(); ++u) {
    const auto& parts = program.units[u].parts;
    const auto shard = model.units[u].shard.value;
    const auto expected = static_cast<std::int64_t>(static_cast<double>(shard / 64) * 0.6) * 64;
    EXPECT_EQ(parts.size(), expected == 0 ? 1U : 2U);
    EXPECT_EQ(parts.back().where, Place::host);
    EXPECT_EQ(parts.back().begin.value, expected);
    EXPECT_EQ(parts.back().begin + parts.back().numel, model.units[u].shard);
  }
}

TEST(BuildTest, StatesOnDiskTakeNoHostMemoryButForAFewUnits) {
  auto options = offloaded(2, 2);
  const auto model = test_model(40, false, 2, {1000});
  const auto host = [&](Place place, int staged) {
    options.residency.state_place = place;
    options.residency.staged_units = staged;
    return build(model, options);
  };
  const auto memory = host(Place::host, 4);
  const auto disk = host(Place::nvme, 4);
  EXPECT_EQ(memory.on_disk.value, 0);
  std::int64_t states = 0;
  for (const auto& unit : model.units) states += 12 * unit.shard.value;
  EXPECT_EQ(disk.on_disk.value, states);
  EXPECT_LT(disk.host_arena.value, memory.host_arena.value);
  EXPECT_LT(host(Place::nvme, 2).host_arena.value, host(Place::nvme, 8).host_arena.value);
}

TEST(BuildTest, ActivationsOnTheHostMakeTheDevicesShareIndependentOfDepth) {
  BuildOptions options;
  options.recompute = Recompute::full;
  const auto activations = [&](int blocks, bool away) {
    options.activations_on_host = away;
    auto model = test_model(blocks, false, 1, {1000});
    for (auto& layer : model.layers) layer.output = layer.output * 1000;
    const auto program = build(model, options);
    return std::pair(program.device_arena.value, program.host_arena.value);
  };
  EXPECT_GT(activations(40, false).first, activations(10, false).first * 3);
  EXPECT_LT(activations(40, true).first, activations(10, true).first * 1.2);
  EXPECT_GT(activations(40, true).second, activations(10, true).second * 3);
}

int index_of(const Variant& variant, OpKind kind, int unit, int layer = -1) {
  const auto found =
      std::find_if(variant.operations.begin(), variant.operations.end(), [&](const Operation& op) {
        return op.kind == kind && (layer >= 0 ? op.layer == layer : op.unit == unit);
      });
  return found == variant.operations.end() ? -1
                                           : static_cast<int>(found - variant.operations.begin());
}

TEST(BuildTest, ParametersOfTheHostAreCopiedBesideTheLayerBeforeAlsoWhileTheyAreUpdated) {
  for (const int world : {1, 2}) {
    auto options = offloaded(world, 3);
    options.residency.param_place = Place::host;
    options.prefetch = {1};
    const auto program = build(test_model(6, false, world, {1000}), options);
    ASSERT_TRUE(check(program, 2).empty());
    const auto& first = program.variant(VariantKind::first);
    for (int u = 1; u < 7; ++u) {  // the loss layer has no forward of its own
      const int before = index_of(first, OpKind::forward, -1, u - 1);
      EXPECT_LT(index_of(first, OpKind::fetch, u), before) << u;
      if (world == 1) continue;
      EXPECT_GT(index_of(first, OpKind::gather, u), before)
          << "a collective would block all behind";
    }
  }
}

TEST(BuildTest, ADiskReadsTheNextUnitWhileOneIsCopied) {
  for (const int world : {1, 2}) {
    auto options = offloaded(world, 3);
    options.residency.state_place = options.residency.param_place = Place::nvme;
    options.prefetch = {1};
    const auto program = build(test_model(6, false, world, {1000}), options);
    ASSERT_TRUE(check(program, 2).empty());
    const auto& last = program.variant(VariantKind::last);
    for (int u = 2; u < 7; ++u) {
      const int load = index_of(last, OpKind::load_param, u);
      const int copy = index_of(last, OpKind::fetch, u - 1);
      ASSERT_GE(load, 0);
      const auto& waits = last.operations[static_cast<std::size_t>(load)].waits;
      EXPECT_EQ(std::count(waits.begin(), waits.end(), copy), 0) << "load_param u" << u;
    }
  }
}

TEST(BuildTest, ParametersInFp32TravelAsTheirMasterAndHostParametersNeedNoCopy) {
  auto options = offloaded(2, 3);
  const auto copies = [&] {
    int count = 0;
    for (const auto& buffer : build(test_model(4, false, 2, {1000}), options).buffers)
      count += buffer.kind == BufferKind::param_out ? 1 : 0;
    return count;
  };
  EXPECT_EQ(copies(), 6);
  options.residency.param_place = Place::host;
  EXPECT_EQ(copies(), 0);
  options.residency.param_place = Place::device;
  options.compute = DType::f32;
  EXPECT_EQ(copies(), 0);
}

TEST(BuildTest, AWaitCoversEarlierOnesOfItsStream) {
  BuildOptions options;
  options.world = 2;
  options.residency = row(3, ReduceAt::micro_step);
  const auto program = build(test_model(6, true, 2, {100}), options);
  for (const auto& variant : program.variants) {
    for (const auto& op : variant.operations) EXPECT_LE(op.waits.size(), kNumStreams - 1U);
  }
}

}  // namespace
}  // namespace zt::schedule
