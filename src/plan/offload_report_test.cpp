#include "plan/offload_report.h"

#include <gtest/gtest.h>

namespace zt::plan {
namespace {

TEST(OffloadReportTest, WithoutMeasuredRatesThereIsNothingToSay) {
  EXPECT_EQ(offload_report({}, {}, {}), "");
}

/// One unit of a million elements, states on the host, one micro-step.
schedule::Program one_unit(const schedule::BuildOptions& options) {
  schedule::ModelInfo model;
  model.units.push_back({"u", {1'000'000}, {1'000'000}, {{1'000'000}}});
  schedule::LayerInfo layer;
  layer.units = {0};
  layer.gives_loss = true;
  model.layers = {layer};
  return schedule::build(model, options);
}

TEST(OffloadReportTest, ExposedIsWhatTheFirstForwardAndTheLastBackwardDoNotHide) {
  schedule::BuildOptions options;
  options.compute = options.wire = DType::bf16;
  options.residency = {.grads_sharded = true,
                       .states_sharded = true,
                       .state_place = Place::host,
                       .reduce_at = ReduceAt::micro_step};
  const auto program = one_unit(options);
  Candidate candidate;
  candidate.options.micro_steps = 1;
  candidate.options.zero.recompute = Recompute::full;
  candidate.costs.flops = 0.8e12;
  zero::HostRates rates{.download = 4e7, .upload = 1e9, .optimizer = 1e8, .product = 1e12};
  const auto time = predict_offload(candidate, program, rates);
  EXPECT_DOUBLE_EQ(time.compute, 1.0);
  EXPECT_DOUBLE_EQ(time.download, 4e6 / 4e7);    // fp32 gradients
  EXPECT_DOUBLE_EQ(time.optimizer, 30e6 / 1e8);  // 3 states twice, the gradient, the copy
  EXPECT_DOUBLE_EQ(time.upload, 2e6 / 1e9);
  EXPECT_DOUBLE_EQ(time.fetch, 0);
  EXPECT_NEAR(time.exposed, 0.3 - 0.25, 1e-12);  // a forward is a quarter of the compute
  rates.download = 4e6;
  EXPECT_NEAR(predict_offload(candidate, program, rates).exposed, 0.05 + 1.0 - 0.75, 1e-12);
  candidate.options.zero.pin_memory = false;
  const auto text = offload_report(candidate, program, rates);
  EXPECT_NE(text.find("pageable host memory"), std::string::npos) << text;
  EXPECT_EQ(text.find("fetching parameters"), std::string::npos) << text;
}

}  // namespace
}  // namespace zt::plan
