#include "plan/offload_report.h"

#include <gtest/gtest.h>

#include "schedule/check.h"

namespace zt::plan {
namespace {

TEST(OffloadReportTest, WithoutMeasuredRatesThereIsNothingToSay) {
  EXPECT_EQ(offload_report({}, {}, {}, 1), "");
}

/// Two units of a million elements, a layer each, one micro-step: a layer, and the loss layer whose
/// forward runs inside of its backward.
schedule::ModelInfo two_units() {
  schedule::ModelInfo model;
  for (int u = 0; u < 2; ++u) {
    model.units.push_back({"u", {1'000'000}, {1'000'000}, {{1'000'000}}});
    schedule::LayerInfo layer;
    layer.units = {u};
    layer.gives_loss = u == 1;
    layer.output = {u == 0 ? 1000 : 0};
    layer.forward_flops = 1e11;
    model.layers.push_back(layer);
  }
  return model;
}

schedule::BuildOptions states_at(Place place) {
  schedule::BuildOptions options;
  options.compute = options.wire = DType::bf16;
  options.residency = {.grads_sharded = true,
                       .states_sharded = true,
                       .state_place = place,
                       .reduce_at = ReduceAt::micro_step};
  return options;
}

class OffloadTimeTest : public testing::Test {
 protected:
  explicit OffloadTimeTest(Place place = Place::host)
      : program_(schedule::build(model_, states_at(place))) {
    EXPECT_TRUE(schedule::check(program_, 1).empty());
    candidate_.options.micro_steps = 1;
    candidate_.forward_flops = forward_flops_of(model_);
    candidate_.costs = step_costs(program_, model_, 1, 1);
    candidate_.memory = measure(program_, model_, Device::cuda, 1);
  }
  [[nodiscard]] OffloadTime time() const {
    return predict_offload(candidate_, program_, rates_, 0.8);
  }
  [[nodiscard]] std::string report() const {
    return offload_report(candidate_, program_, rates_, 0.8);
  }
  [[nodiscard]] bool says(const std::string& text) const {
    return report().find(text) != std::string::npos;
  }

  schedule::ModelInfo model_ = two_units();
  schedule::Program program_;
  Candidate candidate_;
  // Products at 1e12 FLOP/s of which layers reach 0.8: a layer's forward takes 0.125 s, a step 0.75
  // s.
  zero::HostRates rates_{.download = 1e12, .upload = 1e12, .optimizer = 1e12, .product = 1e12};
};

TEST_F(OffloadTimeTest, EachKindTakesItsBytesOverItsRate) {
  rates_.download = 4e7;
  rates_.upload = 1e7;
  rates_.optimizer = 1e8;
  const auto result = time();
  EXPECT_DOUBLE_EQ(result.compute, 0.75);
  EXPECT_DOUBLE_EQ(result.download, 8e6 / 4e7);        // fp32 gradients
  EXPECT_DOUBLE_EQ(result.optimizer, 2 * 30e6 / 1e8);  // 3 states twice, the gradient, the copy
  EXPECT_DOUBLE_EQ(result.upload, 4e6 / 1e7);
  EXPECT_DOUBLE_EQ(result.fetch, 0);
  EXPECT_DOUBLE_EQ(result.disk_read + result.disk_write, 0);
}

TEST_F(OffloadTimeTest, OptimizerIsExposedByWhatTheNextForwardDoesNotHide) {
  EXPECT_NEAR(time().exposed, 0, 1e-4);
  rates_.optimizer = 2 * 30e6 / 0.2;  // 0.1 s for each unit
  // The first unit's AdamW precedes everything; the second one's runs beside the first forward.
  EXPECT_NEAR(time().exposed, 0.1, 1e-4);
  EXPECT_NEAR(time().exposed_optimizer, 0.1, 1e-4);
  rates_.optimizer = 2 * 30e6 / 0.8;  // 0.4 s each, of which the forward hides 0.125 s
  EXPECT_NEAR(time().exposed, 0.8 - 0.125, 1e-4);
  EXPECT_TRUE(says("warning: AdamW on the host beyond the first forward pass")) << report();
  rates_.causes = {"its threads are on 1 of 2 NUMA nodes"};
  EXPECT_TRUE(says("warning: AdamW: its threads are on 1 of 2 NUMA nodes")) << report();
}

TEST_F(OffloadTimeTest, SlowCopiesAreExposedAndPageableMemoryIsNamedAsTheirCause) {
  rates_.download = 4e6 / 0.5;  // 0.5 s for each gradient; the first one has a backward beside it
  EXPECT_NEAR(time().exposed_copies, 1 - 0.25, 1e-4);
  EXPECT_TRUE(says("warning: copying between GPU and host")) << report();
  candidate_.options.zero.pin_memory = false;
  EXPECT_TRUE(says("warning: copying from and to pageable host memory")) << report();
  EXPECT_FALSE(says("AdamW on the host beyond")) << report();
}

class DiskTimeTest : public OffloadTimeTest {
 protected:
  DiskTimeTest() : OffloadTimeTest(Place::nvme) {
    rates_.disk_read = rates_.disk_write = 1e12;
    rates_.disk_engine = "io_uring";
  }
};

TEST_F(DiskTimeTest, ASlowDiskHasItsLineItsExposedTimeAndItsWarning) {
  EXPECT_TRUE(
      says("offload: disk 22.9 MiB, 1000.0 GB/s read, 1000.0 GB/s written (io_uring, "
           "direct); 45.8 MiB moved per step"))
      << report();
  EXPECT_FALSE(says("warning")) << report();
  rates_.disk_read = rates_.disk_write = 12e6 / 0.3;  // 0.3 s for a unit each way
  const auto result = time();
  EXPECT_DOUBLE_EQ(result.disk_read, 0.6);
  EXPECT_DOUBLE_EQ(result.disk_write, 0.6);
  EXPECT_GT(result.exposed_disk, 0.3);
  EXPECT_LE(result.exposed_disk, 1.2);
  EXPECT_TRUE(says("warning: the disk under nvme_path")) << report();
  EXPECT_TRUE(says("warning: disk: slower than one NVMe disk")) << report();
  rates_.disk_direct = false;
  EXPECT_TRUE(says("warning: disk: its file system has no direct I/O")) << report();
}

TEST_F(OffloadTimeTest, TheReportHasALineForEachKindOfMemory) {
  rates_.simd = "AVX2";
  EXPECT_TRUE(says("offload: device ")) << report();
  EXPECT_TRUE(says("offload: host ")) << report();
  EXPECT_TRUE(says("offload: AdamW 1000.0 GB/s on 1 thread of 1 of 1 NUMA node, AVX2; per step "))
      << report();
  EXPECT_TRUE(says("offload: predicted 750 ms per step, 0 ms of it exposed")) << report();
  EXPECT_FALSE(says("offload: disk")) << report();
}

}  // namespace
}  // namespace zt::plan
