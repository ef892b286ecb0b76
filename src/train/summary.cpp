#include "train/summary.h"

#include <fmt/format.h>

#include "base/policy_names.h"
#include "train/progress.h"

namespace zt::train {
namespace {

std::string part(const char* name, bool sharded, Place place) {
  return fmt::format("{} {} ({})", name, sharded ? "sharded" : "replicated", to_string(place));
}

}  // namespace

std::string describe_residency(const schedule::Residency& residency) {
  return part("parameters", residency.params_sharded, residency.param_place) + ", " +
         part("gradients", residency.grads_sharded,
              residency.reduce_at == ReduceAt::boundary ? Place::device : residency.grad_place) +
         ", " + part("states", residency.states_sharded, residency.state_place) +
         (residency.state_place != Place::device && residency.host_ratio < 1
              ? fmt::format(", {:.0f} % of them", 100 * residency.host_ratio)
              : "");
}

std::string describe_run(const RunSummary& summary, const config::Config& config,
                         const StepPlan& plan) {
  const auto& run = config.run;
  const std::int64_t batch = run.per_device_train_batch_size * plan.accumulation * summary.world;
  std::string text;
  const auto line = [&text](const char* name, const std::string& value) {
    text += fmt::format("{}{:<14}{}", text.empty() ? "" : "\n", name, value);
  };
  line("model", fmt::format("{} ({})", summary.model, summary.architecture));
  line("parameters", fmt::format("{} ({}) in {} units, {} layers", summary.num_params,
                                 format_count(static_cast<double>(summary.num_params)),
                                 summary.num_units, summary.num_layers));
  line("dtype", fmt::format("compute {}, gradients {}, wire {}, master fp32",
                            to_string(summary.build.compute), to_string(summary.build.grad_accum),
                            to_string(summary.build.wire)));
  line("ranks", fmt::format("{} on {}", summary.world, summary.device));
  line("ZeRO stage",
       fmt::format("{}: {}", config.zero.stage, describe_residency(summary.build.residency)));
  line("schedule",
       fmt::format("reduce at {}, reduction {}{}, recompute {}, coalesce {}",
                   to_string(summary.build.residency.reduce_at), to_string(summary.build.reduce),
                   summary.build.beside ? " beside the next backward" : "",
                   to_string(summary.build.recompute), summary.coalesce));
  line("batch", fmt::format("{} per rank x {} accumulation x {} ranks = {} sequences of {} tokens",
                            run.per_device_train_batch_size, plan.accumulation, summary.world,
                            batch, summary.block_size));
  line("tokens", fmt::format("{} per step", batch * summary.block_size));
  line("data", fmt::format("{} training blocks, {} evaluation blocks", summary.train_blocks,
                           summary.eval_blocks));
  line("steps", fmt::format("{} ({} per epoch)", plan.total_steps, plan.updates_per_epoch));
  line(
      "memory",
      fmt::format("planned per rank {}: device arena {}, host arena {}, library {}",
                  format_bytes(summary.planned.total()), format_bytes(summary.planned.device_arena),
                  format_bytes(summary.planned.host_arena), format_bytes(summary.planned.library)));
  return text;
}

}  // namespace zt::train
