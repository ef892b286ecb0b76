#include "plan/memory_tables.h"

#include <fmt/format.h>

#include <array>

#include "base/policy_names.h"
#include "plan/arithmetic.h"
#include "plan/sizes.h"
#include "plan/table.h"

namespace zt::plan {
namespace {

using schedule::BufferKind;

double gb(double bytes) { return bytes / 1e9; }
double gb(Bytes bytes) { return gb(static_cast<double>(bytes.value)); }

/// Parameters, gradients and optimizer states of the arena at its peak.
Bytes model_states(const schedule::ArenaPeak& arena) {
  constexpr std::array kKinds = {
      BufferKind::param_full,   BufferKind::param_shard,  BufferKind::param_stage,
      BufferKind::grad_full,    BufferKind::grad_part,    BufferKind::grad_shard,
      BufferKind::grad_reduced, BufferKind::master_shard, BufferKind::exp_avg,
      BufferKind::exp_avg_sq,   BufferKind::param_out};
  Bytes sum;
  for (const auto kind : kKinds) sum = sum + arena.of(kind);
  return sum;
}

/// bf16 with fp32 sums, full recomputation, nothing retained: what the stage promises.
Candidate measure_placement(const Planner& planner, zero::EngineOptions options,
                            const Placement& placement) {
  apply(placement, options.zero);
  options.zero.recompute = Recompute::full;
  options.zero.reduce_at.reset();
  options.zero.retain_auto = false;
  options.zero.reduce_beside = false;
  options.precision.compute = DType::bf16;
  options.precision.grad_accum = DType::f32;
  return planner.measure(options);
}

std::string planned_columns(const Planner& planner, const zero::EngineOptions& options,
                            const Placement& placement) {
  const auto planned = measure_placement(planner, options, placement);
  return fmt::format("{:>10.1f} {:>8.1f}", gb(model_states(planned.memory.device)),
                     gb(planned.memory.device_total()));
}

std::string heading(const std::string& columns) {
  return fmt::format("  {:<38}{} {:>10} {:>8}\n", "GB per card", columns, "zt: states", "all");
}

struct Example {
  double num_params;
  int cards;
  const char* size;
  Assumption assumption;
};

std::string example_table(const Example& example, Target target,
                          const zero::EngineOptions& options) {
  const auto model = model_of_size(example.size);
  target.world = target.local_world = example.cards;
  const Planner planner(model.parts, target);
  auto text = fmt::format(
      "{} parameters on {} cards at {} bytes: {:.0f} GB in all; zt's plan of {:.2f}B parameters\n",
      example.size, example.cards, example.assumption.name,
      gb(example.num_params * example.assumption.bytes.total()),
      static_cast<double>(planner.num_params().value) / 1e9);
  text += heading(fmt::format("{:>8}", example.assumption.name));
  for (const auto& placement : kPlacements) {
    const double classic =
        states_per_card(placement, example.assumption.bytes, example.num_params, example.cards);
    text += fmt::format("  {:<38}{:>8.1f} {}\n", placement_name(placement), gb(classic),
                        planned_columns(planner, options, placement));
  }
  return text;
}

/// The usual advice for a model of that many parameters.
Placement usual_placement(Numel num_params) {
  constexpr std::int64_t kUpToStage2 = 20'000'000'000, kUpToOffload = 50'000'000'000;
  if (num_params.value <= kUpToStage2) return {2};
  if (num_params.value <= kUpToOffload) return {2, true};
  return {3, true, true};
}

std::string row_text(const Candidate& row) {
  const auto& zero = row.options.zero;
  return fmt::format("stage {}, offload {}, recompute {}: {:.1f} GB", zero.stage,
                     offload_name(zero), to_string(zero.recompute.value_or(Recompute::none)),
                     gb(row.memory.device_total()));
}

std::string advice_row(const std::string& size, const Target& target,
                       const zero::EngineOptions& options) {
  const auto model = model_of_size(size);
  const Planner planner(model.parts, target);
  const auto usual = measure_placement(planner, options, usual_placement(planner.num_params()));
  auto any = options;
  any.zero.recompute.reset();
  any.zero.reduce_at.reset();
  any.precision = usual.options.precision;
  const auto rows = table(planner, any);
  const auto best = pick(rows, target);
  return fmt::format("  {:<5} {} ({})\n        take {}\n", size, row_text(usual),
                     fits(usual, target, kUsableShare) ? "fits" : "does not fit",
                     best ? row_text(rows[*best]) : "more cards: no row fits");
}

}  // namespace

std::string arithmetic_table(const Planner& planner, const zero::EngineOptions& options) {
  std::string columns;
  for (const auto& assumption : kAssumptions) columns += fmt::format("{:>8}", assumption.name);
  std::string text = heading(columns);
  const auto num_params = static_cast<double>(planner.num_params().value);
  for (const auto& placement : kPlacements) {
    text += fmt::format("  {:<38}", placement_name(placement));
    for (const auto& assumption : kAssumptions) {
      text += fmt::format("{:>8.1f}", gb(states_per_card(placement, assumption.bytes, num_params,
                                                         planner.target().world)));
    }
    text += " " + planned_columns(planner, options, placement) + "\n";
  }
  return text;
}

std::string arithmetic_line(const config::ZeroConfig& zero, Numel num_params, int cards) {
  const Placement placement{zero.stage, zero.optimizer_place != Place::device,
                            zero.param_place != Place::device};
  const auto states = [&](const Assumption& assumption) {
    return fmt::format("{:.1f} GB at {}",
                       gb(states_per_card(placement, assumption.bytes,
                                          static_cast<double>(num_params.value), cards)),
                       assumption.name);
  };
  return fmt::format("model states alone by the classic arithmetic: {}, {} bytes; see --tables\n",
                     states(kAssumptions[2]), states(kAssumptions[3]));
}

std::string classic_examples(const Target& target, const zero::EngineOptions& options) {
  const Example examples[] = {{32e9, 8, "32B", kAssumptions[0]}, {7e9, 4, "7B", kAssumptions[1]}};
  std::string text;
  for (const auto& example : examples) {
    text += (text.empty() ? "" : "\n") + example_table(example, target, options);
  }
  return text;
}

std::string assumptions_text() {
  std::string text = "bytes of a parameter: parameter + gradient + optimizer states\n";
  for (const auto& assumption : kAssumptions) {
    text += fmt::format("  {:<7} {}\n", assumption.name, assumption.means);
  }
  return text +
         "zt: states are parameters, gradients and optimizer states on the card where most of the\n"
         "  arena is live, in a bf16 run with full recomputation: 2+4+12, but where gradients are\n"
         "  reduced every micro-step (stages 2 and 3) only a unit's gradient is whole, in bf16; "
         "with\n"
         "  the optimizer on the host the gradient shards lie there too; stage 3 adds the units "
         "that\n"
         "  are gathered.\n"
         "zt: all adds activations, buffers of collectives, ATen's calls, the CUDA context and "
         "NCCL.\n";
}

std::string size_advice(const Target& target, const zero::EngineOptions& options) {
  auto text = fmt::format(
      "the usual advice on {} cards of {} (up to 13B: stage 2 and recomputation; about 32B: the\n"
      "optimizer on the host too; from 65B: stage 3 with offload), what it needs, what to take:\n",
      target.world, format_bytes(target.device_memory));
  for (const auto& size : size_names()) text += advice_row(size, target, options);
  return text;
}

}  // namespace zt::plan
