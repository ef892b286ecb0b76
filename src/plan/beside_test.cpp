// What reductions beside the next backward gain, on the four H200 whose times are in
// benchmarks/results/h200_x4_device.json, and what they cost in memory.
#include <gtest/gtest.h>

#include "plan/choose.h"
#include "plan/device_file.h"
#include "plan/time_model.h"

namespace zt::plan {
namespace {

constexpr int kWorld = 4;

/// Qwen3-8B, 4096 tokens, micro-batch 2, one micro-step, bf16: the row of issue 5 without
/// recomputation.
class Row {
 public:
  explicit Row(Bytes device_memory = {})
      : config_(model::named_shape("Qwen3-8B").value()),
        parts_(model::make_qwen3(config_)),
        planner_(parts_, {.device = Device::cuda,
                          .world = kWorld,
                          .device_memory = device_memory,
                          .local_world = kWorld}),
        device_(read_device_file(ZT_SOURCE_DIR "/benchmarks/results/h200_x4_device.json")) {
    options.precision.compute = DType::bf16;
    options.shape = {2, 4096, false};
    options.micro_steps = 1;
    options.zero.stage = 3;
    options.zero.recompute = Recompute::none;
    options.zero.reduce_at = ReduceAt::micro_step;
    options.zero.retain_auto = false;
    options.zero.coalesce = 1;
  }

  [[nodiscard]] StepTime time(bool beside) {
    options.zero.reduce_beside = beside;
    return predict_step(config_, options, planner_.program(options), kWorld, device_);
  }
  [[nodiscard]] std::int64_t bytes(bool beside) {
    options.zero.reduce_beside = beside;
    return planner_.measure(options).memory.device_total().value;
  }
  [[nodiscard]] Candidate chosen() const { return choose(planner_, options); }

  zero::EngineOptions options;

 private:
  model::Qwen3Config config_;
  zero::ModelParts parts_;
  Planner planner_;
  DeviceFile device_;
};

double tokens_per_second(const StepTime& time) { return 2 * 4096 / time.total(); }

TEST(BesideTest, OfTheEightBillionRowsReductionsOnlyTheEndIsExposed) {
  Row row;
  const auto waiting = row.time(false);
  const auto beside = row.time(true);
  EXPECT_GT(waiting.exposed, 50e-3);
  EXPECT_LT(beside.exposed, 9e-3);
  EXPECT_NEAR(beside.gemm + beside.attention + beside.kernels,
              waiting.gemm + waiting.attention + waiting.kernels, 1e-6);
  EXPECT_GT(beside.slowed, waiting.slowed) << "products lose beside the reductions";
  EXPECT_GT(tokens_per_second(beside), 1.03 * tokens_per_second(waiting));
}

TEST(BesideTest, RowsOfOtherStagesAndRecomputationGainToo) {
  for (const int stage : {2, 3}) {
    for (const auto recompute : {Recompute::selective, Recompute::full}) {
      Row row;
      row.options.zero.stage = stage;
      row.options.zero.recompute = recompute;
      const auto waiting = row.time(false);
      const auto beside = row.time(true);
      EXPECT_LT(beside.exposed, 0.2 * waiting.exposed) << stage;
      EXPECT_LT(beside.total(), 0.97 * waiting.total()) << stage;
    }
  }
}

TEST(BesideTest, ThePlannerTakesItWhereItFitsAndDoesWithoutWhereItDoesNot) {
  Row unlimited;
  const auto without = unlimited.bytes(false);
  const auto with = unlimited.bytes(true);
  ASSERT_GT(with, without);
  EXPECT_LT(with - without, 1'000'000'000) << "one more gradient of the head and its wires";
  const auto cap = [](std::int64_t need) {
    return Bytes{static_cast<std::int64_t>(static_cast<double>(need) / kUsableShare) + 1000};
  };
  const auto roomy = Row(cap(with)).chosen();
  EXPECT_EQ(roomy.options.zero.reduce_beside, true);
  EXPECT_EQ(roomy.memory.device_total().value, with);
  const auto tight = Row(cap((with + without) / 2)).chosen();
  EXPECT_EQ(tight.options.zero.reduce_beside, false);
  EXPECT_EQ(tight.memory.device_total().value, without);
}

TEST(BesideTest, WithoutOverlapCommNothingRunsBesideTheBackward) {
  Row row;
  row.options.zero.overlap_comm = false;
  EXPECT_FALSE(row.chosen().options.zero.reduce_beside.value());
  EXPECT_EQ(row.bytes(true), row.bytes(false));
}

}  // namespace
}  // namespace zt::plan
