// What a layer's operation waits for: its data, and of other streams' work only what had a whole
// operation of a layer to finish beside.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "schedule/build.h"
#include "schedule/check.h"
#include "schedule/test_model.h"

namespace zt::schedule {
namespace {

BuildOptions stage3(bool beside) {
  BuildOptions options;
  options.world = 4;
  options.compute = options.wire = DType::bf16;
  options.residency = {.params_sharded = true,
                       .grads_sharded = true,
                       .states_sharded = true,
                       .reduce_at = ReduceAt::micro_step};
  options.prefetch = {300};
  options.beside = beside;
  return options;
}

/// Blocks whose gradient, wires, stash and scratch are of one size, so that each fits where another
/// was.
ModelInfo even_model(int blocks, int world) {
  auto model = test_model(blocks, false, world, {512});
  for (auto& unit : model.units) {
    unit.shard = {1024};
    unit.padded = unit.shard * world;
    unit.bucket_lengths = {{512}, {512}};
  }
  for (auto& layer : model.layers) {
    layer.stash_all = {layer.gives_loss || layer.name == "L0" ? 0 : 8192};
    layer.forward_scratch = layer.backward_scratch_all = {4096};
  }
  return model;
}

bool computes(const Operation& op) {
  return op.kind == OpKind::forward || op.kind == OpKind::recompute || op.kind == OpKind::backward;
}

/// Units whose reduction a backward waits for, by its own waits or those of their stream; with how
/// many backwards lie between that unit's and this one.
std::map<int, int> distances(const Variant& variant) {
  std::map<int, int> nearest;  // layer -> backwards back to the last one that it waits for
  std::vector<int> backwards;
  std::vector<int> after(variant.operations.size(), 0);  // reduce -> number of backwards before it
  for (int i = 0; i < static_cast<int>(variant.operations.size()); ++i) {
    const auto& op = variant.operations[static_cast<std::size_t>(i)];
    after[static_cast<std::size_t>(i)] = static_cast<int>(backwards.size());
    if (op.kind != OpKind::backward) continue;
    backwards.push_back(i);
    for (const int wait : op.waits) {
      if (variant.operations[static_cast<std::size_t>(wait)].stream != Stream::comm) continue;
      for (int w = wait; w >= 0; --w) {  // the stream is in order
        if (variant.operations[static_cast<std::size_t>(w)].kind != OpKind::reduce) continue;
        const int back = static_cast<int>(backwards.size()) - after[static_cast<std::size_t>(w)];
        const auto found = nearest.find(op.layer);
        if (found == nearest.end() || back < found->second) nearest[op.layer] = back;
        break;
      }
    }
  }
  return nearest;
}

TEST(BesideTest, ABackwardWaitsForTheReductionOfTwoUnitsAgoAndNotOfTheLast) {
  const auto model = even_model(8, 4);
  for (const auto recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
    auto options = stage3(true);
    options.recompute = recompute;
    const auto program = build(model, options);
    ASSERT_TRUE(check(program, 1).empty());
    const auto beside = distances(program.variant(VariantKind::only));
    EXPECT_GE(beside.size(), 7U);
    for (const auto& [layer, back] : beside) EXPECT_GE(back, 2) << "backward L" << layer;
    EXPECT_TRUE(std::any_of(beside.begin(), beside.end(), [](const auto& entry) {
      return entry.second == 2;
    })) << "memory for one more unit, not for all";
  }
}

TEST(BesideTest, WithoutTheRoomABackwardWaitsForTheReductionBeforeIt) {
  const auto program = build(even_model(8, 4), stage3(false));
  ASSERT_TRUE(check(program, 1).empty());
  const auto waits = distances(program.variant(VariantKind::only));
  EXPECT_GE(std::count_if(waits.begin(), waits.end(),
                          [](const auto& entry) { return entry.second == 1; }),
            7);
}

TEST(BesideTest, ItCostsOneMoreGradientAndTheWiresAtMost) {
  const auto model = even_model(30, 4);
  for (const auto recompute : {Recompute::none, Recompute::full}) {
    auto with = stage3(true);
    auto without = stage3(false);
    with.recompute = without.recompute = recompute;
    const auto more =
        build(model, with).device_arena.value - build(model, without).device_arena.value;
    const auto& unit = model.units.front();
    const std::int64_t gradient = unit.padded.value * 2;
    const std::int64_t wires = 2 * unit.bucket_lengths.front().value * 4 * 2;
    EXPECT_GE(more, 0);
    EXPECT_LE(more, gradient + wires);
  }
}

TEST(BesideTest, BucketsOfAUnitShareTheirWires) {
  const auto program = build(even_model(4, 4), stage3(true));
  std::map<int, std::vector<BufferId>> wires;
  for (const auto& op : program.variant(VariantKind::only).operations) {
    if (op.kind != OpKind::reduce) continue;
    EXPECT_EQ(op.numel.value, 512 * 4);
    const std::vector<BufferId> mine(op.writes.begin() + 1, op.writes.end());
    EXPECT_EQ(mine.size(), 2U);
    const auto [first, is_new] = wires.emplace(op.unit, mine);
    EXPECT_EQ(first->second, mine) << "reduce u" << op.unit << " bucket " << op.bucket;
    EXPECT_EQ(is_new, op.bucket == 0);
  }
  EXPECT_EQ(wires.size(), 6U);
}

/// What a wait comes down to: the last operation with work up to it on its stream.
int last_work(const Variant& variant, int wait) {
  const auto stream = variant.operations[static_cast<std::size_t>(wait)].stream;
  for (; wait >= 0; --wait) {
    const auto& op = variant.operations[static_cast<std::size_t>(wait)];
    if (op.stream == stream && op.kind != OpKind::release) return wait;
  }
  return -1;
}

/// Waits of a layer's operation for work of other streams that was issued after the layer's
/// operation before it, and that gives it no data.
std::vector<std::string> needless(const Program& program, const Variant& variant) {
  std::vector<std::string> found;
  int before = -1;
  std::vector<int> writer(program.buffers.size(), -1);
  for (int i = 0; i < static_cast<int>(variant.operations.size()); ++i) {
    const auto& op = variant.operations[static_cast<std::size_t>(i)];
    if (computes(op)) {
      for (const int named : op.waits) {
        const int wait = last_work(variant, named);
        if (wait < 0) continue;
        const auto& other = variant.operations[static_cast<std::size_t>(wait)];
        const bool data = std::any_of(op.reads.begin(), op.reads.end(), [&](BufferId id) {
          const int w = writer[static_cast<std::size_t>(id.value)];
          return w >= wait &&
                 variant.operations[static_cast<std::size_t>(w)].stream == other.stream;
        });
        if (wait > before && !data) {
          found.push_back(to_string(op) + " waits for " + to_string(other));
        }
      }
      before = i;
    }
    for (const auto id : op.writes) writer[static_cast<std::size_t>(id.value)] = i;
  }
  return found;
}

struct Away {
  const char* name;
  void (*apply)(BuildOptions&);
};

class BesideStreamsTest : public testing::TestWithParam<Away> {};

TEST_P(BesideStreamsTest, ALayerWaitsForNothingThatWasIssuedWithItExceptItsData) {
  for (const int micro_steps : {1, 3}) {
    auto options = stage3(true);
    options.micro_steps = micro_steps;
    GetParam().apply(options);
    const auto program = build(even_model(8, options.world), options);
    ASSERT_TRUE(check(program, micro_steps).empty());
    for (const auto& variant : program.variants) {
      const auto found = needless(program, variant);
      EXPECT_TRUE(found.empty()) << to_string(variant.kind) << ": " << found.front();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BesideStreamsTest,
    testing::Values(
        Away{"Stage3", [](BuildOptions&) {}},
        Away{"Stage3Recomputed", [](BuildOptions& o) { o.recompute = Recompute::full; }},
        Away{"Stage2", [](BuildOptions& o) { o.residency.params_sharded = false; }},
        Away{"Stage1AtTheBoundary",
             [](BuildOptions& o) {
               o.residency = {.states_sharded = true, .reduce_at = ReduceAt::boundary};
               o.grad_accum = DType::f32;
             }},
        Away{"OneRank", [](BuildOptions& o) { o.world = 1; }},
        Away{"StatesOnTheHost", [](BuildOptions& o) { o.residency.state_place = Place::host; }},
        Away{"StatesAndParametersOnTheHost",
             [](BuildOptions& o) {
               o.residency.state_place = o.residency.param_place = Place::host;
               o.recompute = Recompute::full;
             }},
        Away{"OffloadedOneRank",
             [](BuildOptions& o) {
               o.world = 1;
               o.residency.state_place = o.residency.param_place = Place::host;
               o.recompute = Recompute::full;
             }},
        Away{"ActivationsOnTheHost",
             [](BuildOptions& o) {
               o.activations_on_host = true;
               o.recompute = Recompute::full;
             }},
        Away{"StashesOnTheHost", [](BuildOptions& o) { o.activations_on_host = true; }}),
    [](const auto& what) { return std::string(what.param.name); });

TEST(BesideTest, TheFirstUnitsArePublishedBesideTheOptimizerAndTheOthersBesideTheForward) {
  auto options = stage3(true);
  options.residency.params_sharded = false;
  const auto program = build(even_model(4, 4), options);
  ASSERT_TRUE(check(program, 1).empty());
  const auto published = [&](VariantKind kind) {
    std::vector<int> units;
    for (const auto& op : program.variant(kind).operations) {
      if (op.kind == OpKind::publish) units.push_back(op.unit);
    }
    return units;
  };
  EXPECT_EQ(published(VariantKind::boundary), (std::vector<int>{0, 1}));
  EXPECT_EQ(published(VariantKind::only), (std::vector<int>{2, 3, 4, 5}));
  EXPECT_EQ(published(VariantKind::settle), (std::vector<int>{0, 1, 2, 3, 4, 5}));
  const auto& boundary = program.variant(VariantKind::boundary).operations;
  for (const auto& op : boundary) {
    if (op.kind != OpKind::publish) continue;
    ASSERT_EQ(op.waits.size(), 1U);
    const auto& step = boundary[static_cast<std::size_t>(op.waits.front())];
    EXPECT_EQ(step.kind, OpKind::step);
    EXPECT_EQ(step.unit, op.unit) << "and not the optimizer of later units";
  }
}

TEST(BesideTest, TheNormsComeBesideTheLastReductions) {
  auto options = stage3(true);
  options.micro_steps = 2;
  const auto program = build(even_model(4, 4), options);
  for (const auto& variant : program.variants) {
    int norms = 0;
    int last_reduce = -1;
    for (int i = 0; i < static_cast<int>(variant.operations.size()); ++i) {
      const auto& op = variant.operations[static_cast<std::size_t>(i)];
      if (op.kind == OpKind::reduce && op.unit == 0) last_reduce = i;
      if (op.kind != OpKind::norm) continue;
      ++norms;
      const bool on_last = std::any_of(op.waits.begin(), op.waits.end(),
                                       [&](int wait) { return wait >= last_reduce; });
      EXPECT_EQ(on_last, op.unit == 0) << "only the last unit's norm waits for the last reduction";
    }
    EXPECT_EQ(norms, variant.kind == VariantKind::last ? 6 : 0) << to_string(variant.kind);
  }
}

}  // namespace
}  // namespace zt::schedule
