#include "schedule/check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "schedule/build.h"
#include "schedule/test_model.h"

namespace zt::schedule {
namespace {

Program good_program() {
  BuildOptions options;
  options.world = 4;
  options.micro_steps = 2;
  options.compute = options.wire = DType::bf16;
  options.recompute = Recompute::full;
  options.residency = {.params_sharded = true,
                       .grads_sharded = true,
                       .states_sharded = true,
                       .param_place = Place::host,
                       .state_place = Place::host,
                       .reduce_at = ReduceAt::micro_step};
  return build(test_model(4, true, 4, {200}), options);
}

std::vector<Operation>& list(Program& program, VariantKind kind) {
  return program.variants.at(static_cast<std::size_t>(kind)).operations;
}

std::vector<Operation>& first(Program& program) { return list(program, VariantKind::first); }

std::size_t find(const std::vector<Operation>& ops, OpKind kind, int skip = 0) {
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].kind == kind && skip-- == 0) return i;
  }
  ADD_FAILURE() << "no such operation";
  return 0;
}

struct Break {
  const char* name;
  const char* expected;  ///< part of the report
  std::function<void(Program&)> apply;
};

class CheckTest : public testing::TestWithParam<Break> {};

TEST(CheckTest, AcceptsTheGoodProgram) { EXPECT_TRUE(check(good_program(), 2).empty()); }

TEST_P(CheckTest, RejectsTheBrokenProgram) {
  auto program = good_program();
  GetParam().apply(program);
  const auto problems = check(program, 2);
  ASSERT_FALSE(problems.empty());
  const bool found = std::any_of(problems.begin(), problems.end(), [](const std::string& problem) {
    return problem.find(GetParam().expected) != std::string::npos;
  });
  EXPECT_TRUE(found) << "expected '" << GetParam().expected << "', got: " << problems.front();
}

void remove(Program& program, OpKind kind, int skip) {
  auto& ops = first(program);
  const auto i = find(ops, kind, skip);
  // Keep indices valid: the operation stays as an empty one.
  ops[i] = Operation{.kind = OpKind::release, .stream = ops[i].stream, .waits = ops[i].waits};
}

void drop_waits(Program& program, OpKind kind, int skip) {
  auto& ops = first(program);
  ops[find(ops, kind, skip)].waits.clear();
}

INSTANTIATE_TEST_SUITE_P(
    HandBroken, CheckTest,
    testing::Values(
        Break{"MissingGather", "not gathered", [](Program& p) { remove(p, OpKind::gather, 1); }},
        Break{"MissingFetch", "not gathered", [](Program& p) { remove(p, OpKind::fetch, 0); }},
        Break{"MissingRelease", "still lives", [](Program& p) { remove(p, OpKind::release, 1); }},
        Break{"UseAfterRelease", "after its release",
              [](Program& p) {
                auto& ops = first(p);
                const auto f = find(ops, OpKind::forward, 1);
                ops[f].ends.push_back(ops[f].reads.back());  // the input of its own backward
              }},
        Break{"DoubleRelease", "ends while it does not live",
              [](Program& p) {
                auto& ops = first(p);
                const auto r = find(ops, OpKind::release, 0);
                ops.back().ends.push_back(ops[r].ends.front());
              }},
        Break{"MissingWaitForGather", "without waiting for its writer",
              [](Program& p) { drop_waits(p, OpKind::forward, 1); }},
        Break{"MissingWaitForBackward", "without waiting",
              [](Program& p) { drop_waits(p, OpKind::reduce, 0); }},
        Break{"MissingWaitForReduce", "without waiting",
              [](Program& p) { drop_waits(p, OpKind::download, 0); }},
        Break{"WaitForALaterOperation", "which is not before it",
              [](Program& p) { first(p)[2].waits.push_back(40); }},
        Break{"CollectiveOnTheComputeStream", "outside the communication stream",
              [](Program& p) {
                auto& ops = first(p);
                ops[find(ops, OpKind::reduce, 1)].stream = Stream::compute;
              }},
        Break{"MissingRecompute", "stash", [](Program& p) { remove(p, OpKind::recompute, 1); }},
        Break{"ReadBeforeWrite", "read before it is written",
              [](Program& p) {
                auto& ops = first(p);
                ops[find(ops, OpKind::recompute, 0)].writes.clear();
              }},
        Break{"OverlappingPlacement", "placed over live",
              [](Program& p) {
                auto& ops = first(p);
                const auto& f = ops[find(ops, OpKind::forward, 1)];
                p.buffers[static_cast<std::size_t>(f.starts.front().value)].offset =
                    p.buffer(f.reads.front()).offset;
              }},
        Break{"GradientLeftOver", "still lives",
              [](Program& p) {
                auto& ops = first(p);
                ops[find(ops, OpKind::download, 0)].ends.clear();
              }},
        Break{"CarriedWaitOfTheFetchMissing", "without waiting for its writer",
              [](Program& p) {
                for (auto& op : first(p)) op.carried.clear();  // fetches overtake the optimizer
              }},
        Break{"CarriedWaitOfTheBoundaryMissing", "without waiting for its writer",
              [](Program& p) {
                for (auto& op : list(p, VariantKind::boundary)) op.carried.clear();
              }},
        Break{"CarriedWaitForAListThatDoesNotComeBefore", "which is not before it",
              [](Program& p) {
                first(p)[0].carried.push_back({VariantKind::evaluation, 0});
              }},
        Break{"UnknownBuffer", "does not exist",
              [](Program& p) { first(p)[1].reads.push_back({99999}); }}),
    [](const testing::TestParamInfo<Break>& broken) { return std::string(broken.param.name); });

TEST(CheckTest, ParametersThatStayGatheredArePublishedBeforeTheyAreUsed) {
  BuildOptions options;
  options.world = 2;
  options.residency.states_sharded = true;
  auto program = build(test_model(4, true, 2, {200}), options);
  EXPECT_TRUE(check(program, 1).empty());
  auto& ops = list(program, VariantKind::only);
  ops[find(ops, OpKind::publish, 2)] = Operation{.stream = Stream::comm};
  const auto problems = check(program, 1);
  ASSERT_FALSE(problems.empty());
  EXPECT_NE(problems.front().find("before it is published"), std::string::npos) << problems.front();
}

TEST(CollectiveHashTest, ADifferentOrderOnOneRankIsFound) {
  const auto mine = good_program();
  auto theirs = good_program();
  auto& ops = first(theirs);
  std::swap(ops[find(ops, OpKind::gather, 0)], ops[find(ops, OpKind::gather, 1)]);
  EXPECT_NE(collective_hash(mine), collective_hash(theirs));
  EXPECT_EQ(collective_hash(mine), collective_hash(good_program()));
}

TEST(CollectiveHashTest, ADifferentBucketSizeOnOneRankIsFound) {
  BuildOptions options;
  options.world = 4;
  options.residency.reduce_at = ReduceAt::micro_step;
  const auto a = build(test_model(4, true, 4, {200}), options);
  const auto b = build(test_model(4, true, 4, {100000}), options);
  EXPECT_NE(collective_hash(a), collective_hash(b));
}

}  // namespace
}  // namespace zt::schedule
