#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/policy_names.h"
#include "plan/choose.h"
#include "plan/table.h"

namespace zt::plan {
namespace {

/// What differs between two configurations, as the user would write it.
std::string change(const zero::EngineOptions& from, const zero::EngineOptions& to) {
  std::vector<std::string> parts;
  if (from.zero.stage != to.zero.stage) {
    parts.push_back(fmt::format("\"stage\": {}", to.zero.stage));
  }
  const auto offload = [&](const char* key, Place was, Place is) {
    if (was == is) return;
    parts.push_back(
        fmt::format("\"{}\": {{\"device\": \"{}\"}}", key, is == Place::host ? "cpu" : "none"));
  };
  offload("offload_optimizer", from.zero.optimizer_place, to.zero.optimizer_place);
  offload("offload_param", from.zero.param_place, to.zero.param_place);
  if (from.zero.recompute != to.zero.recompute) {
    parts.push_back(
        fmt::format("--recompute {}", to_string(to.zero.recompute.value_or(Recompute::none))));
  }
  if (from.shape.batch != to.shape.batch) {
    parts.push_back(fmt::format(
        "--per_device_train_batch_size {} --gradient_accumulation_steps {} (the same tokens)",
        to.shape.batch, to.micro_steps));
  }
  if (from.eval_batch != to.eval_batch) {
    parts.push_back(fmt::format("--per_device_eval_batch_size {}", to.eval_batch));
  }
  std::string text;
  for (const auto& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

/// The cheapest row that fits: first with the batch as it is, then with smaller micro-batches.
std::optional<Candidate> cheapest(const Planner& planner, const zero::EngineOptions& options,
                                  Candidate& least) {
  for (auto batch = options.shape.batch; batch >= 1; --batch) {
    if (options.shape.batch % batch != 0) continue;
    auto smaller = options;
    smaller.zero.recompute.reset();
    smaller.zero.reduce_at.reset();
    smaller.shape.batch = batch;
    smaller.eval_batch = std::min(options.eval_batch, batch);
    smaller.micro_steps = static_cast<int>(options.micro_steps * (options.shape.batch / batch));
    const auto rows = table(planner, smaller);
    if (const auto best = pick(rows, planner.target())) return rows[*best];
    for (const auto& row : rows) {
      if (row.memory.device_total() < least.memory.device_total()) least = row;
    }
  }
  return std::nullopt;
}

/// What is largest where most of the arena is live.
std::string largest(const schedule::ArenaPeak& peak) {
  constexpr std::size_t kItems = 3;
  auto text = fmt::format(" (most at '{}'", peak.operation_text);
  for (std::size_t i = 0; i < std::min(kItems, peak.items.size()); ++i) {
    text += fmt::format(", {}[{}] {}", to_string(peak.items[i].kind), peak.items[i].index,
                        format_bytes(peak.items[i].bytes));
  }
  return text;
}

/// Every kind of buffer of an arena, of one rank.
std::string by_kind(const schedule::ArenaPeak& peak) {
  std::vector<std::string> parts;
  for (std::size_t k = 0; k < peak.kinds.size(); ++k) {
    if (peak.kinds[k].value == 0) continue;
    parts.push_back(fmt::format("{} {}", to_string(static_cast<schedule::BufferKind>(k)),
                                format_bytes(peak.kinds[k])));
  }
  return fmt::format(" (each rank {}", fmt::join(parts, ", "));
}

}  // namespace

void require_fits(const Planner& planner, const Candidate& candidate) {
  auto target = planner.target();
  if (!target.host_is_limit)
    target.host_memory = {};  // what is left is asked before it is reserved
  if (fits(candidate, target, 1.0)) return;
  const auto& memory = candidate.memory;
  const bool device =
      target.device_memory.value > 0 && memory.device_total() > target.device_memory;
  auto text =
      device ? fmt::format("[plan.fits] this run does not fit: each rank needs {}, got {}",
                           format_bytes(memory.device_total()), format_bytes(target.device_memory))
             : fmt::format(
                   "[plan.fits] this run does not fit: {} ranks need {} of host "
                   "memory, got {}",
                   target.local_world, format_bytes(candidate.host_of_machine(target)),
                   format_bytes(target.host_memory));
  text += device ? largest(memory.device) : by_kind(memory.host);
  auto least = candidate;
  const auto found = cheapest(planner, candidate.options, least);
  text += found ? fmt::format("). Cheapest change that fits: {} ({} per rank).",
                              change(candidate.options, found->options),
                              format_bytes(found->memory.device_total()))
                : fmt::format(
                      "). Nothing fits on {} ranks; the least is {} per rank with {}. Use "
                      "more GPUs, larger ones, or a shorter --block_size.",
                      target.world, format_bytes(least.memory.device_total()),
                      change(candidate.options, least.options));
  throw ConfigError(text);
}

}  // namespace zt::plan
