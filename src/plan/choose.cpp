#include "plan/choose.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "plan/settings.h"
#include "plan/step_estimate.h"
#include "zero/residency.h"

namespace zt::plan {
namespace {

using zero::EngineOptions;

/// One pair of choices that decide how fast a step computes.
struct Way {
  int coalesce = 1;
  Recompute recompute = Recompute::none;
  double time = 0;  ///< relative
};

/// Relative compute time of a step. Backward is two forwards; full recomputation adds one,
/// selective about a half (norms, up and gate projections, SwiGLU). Micro-batches of t tokens run
/// at t / (t + 600) of full speed: from the measured ceilings of a 0.6B model on an H200 at 512
/// and 8192 tokens (60k and 122k tokens/s).
double relative_time(Recompute recompute, std::int64_t tokens) {
  constexpr double kHalfSpeedTokens = 600;
  const double forwards = recompute == Recompute::none ? 3 : recompute == Recompute::full ? 4 : 3.5;
  const auto t = static_cast<double>(tokens);
  return forwards * (t + kHalfSpeedTokens) / t;
}

/// With offload, larger micro-batches mean fewer passes that fetch parameters, and a longer first
/// forward beside the host's optimizer.
std::int64_t most_tokens(const config::ZeroConfig& zero) {
  constexpr std::int64_t kTimesWithOffload = 4;
  const bool offload = zero.optimizer_place != Place::device || zero.param_place != Place::device;
  return offload ? kMaxCoalescedTokens * kTimesWithOffload : kMaxCoalescedTokens;
}

std::vector<int> factors(const EngineOptions& options) {
  const int asked = options.zero.coalesce;
  if (asked > 0) {
    if (options.micro_steps % asked != 0) {
      throw ConfigError("[plan.choose] --coalesce: got " + std::to_string(asked) +
                        ", expected a divisor of gradient_accumulation_steps " +
                        std::to_string(options.micro_steps) + ".");
    }
    return {asked};
  }
  std::vector<int> result;
  for (int k = 1; k <= options.micro_steps; ++k) {
    const bool small = options.shape.tokens() * k <= most_tokens(options.zero);
    if (options.micro_steps % k == 0 && (k == 1 || small)) result.push_back(k);
  }
  return result;
}

std::vector<Way> ways(const EngineOptions& options) {
  std::vector<Recompute> modes{Recompute::none, Recompute::selective, Recompute::full};
  if (options.zero.recompute) modes = {*options.zero.recompute};
  std::vector<Way> result;
  for (const int k : factors(options)) {
    for (const auto mode : modes) {
      result.push_back({k, mode, relative_time(mode, options.shape.tokens() * k)});
    }
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const Way& a, const Way& b) { return a.time < b.time; });
  return result;
}

EngineOptions apply(EngineOptions options, const Way& way) {
  options.shape.batch *= way.coalesce;
  options.micro_steps /= way.coalesce;
  options.zero.coalesce = way.coalesce;
  options.zero.recompute = way.recompute;
  options.zero.reduce_at = zero::residency(options.zero).reduce_at;
  options.zero.retain_auto = false;
  if (!options.zero.reduce_beside) options.zero.reduce_beside = false;
  if (!options.zero.grad_place) {
    options.zero.grad_place =
        options.zero.optimizer_place == Place::device ? Place::device : Place::host;
  }
  return options;
}

/// Uses the room that is left to communicate less.
Candidate send_less(const Planner& planner, const EngineOptions& asked, const Candidate& base) {
  std::vector<ReduceAt> times{*base.options.zero.reduce_at};
  if (!asked.zero.reduce_at && times.front() != ReduceAt::boundary) {
    times.push_back(ReduceAt::boundary);
  }
  std::vector<bool> retains{false};
  if (asked.zero.retain_auto) retains.push_back(true);
  std::vector<Place> grad_places{*base.options.zero.grad_place};
  if (!asked.zero.grad_place && grad_places.front() != Place::device) {
    grad_places.push_back(Place::device);
  }
  auto best = base;
  const auto consider = [&](ReduceAt time, bool retain, Place grads) {
    auto options = base.options;
    options.zero.reduce_at = time;
    options.zero.retain_auto = retain;
    options.zero.grad_place = grads;
    auto candidate = planner.measure(options);
    if (!fits(candidate, planner.target(), kUsableShare)) return;
    if (candidate.costs.sent + candidate.costs.host_link < best.costs.sent + best.costs.host_link) {
      best = std::move(candidate);
    }
  };
  for (const auto grads : grad_places) {
    for (const auto time : times) {
      for (const bool retain : retains) consider(time, retain, grads);
    }
  }
  return best;
}

/// Uses the room that is left to let reductions run beside the next backward.
Candidate wait_less(const Planner& planner, const EngineOptions& asked, const Candidate& base) {
  if (asked.zero.reduce_beside || !base.options.zero.overlap_comm) return base;
  auto options = base.options;
  options.zero.reduce_beside = true;
  auto candidate = planner.measure(options);
  return fits(candidate, planner.target(), kUsableShare) ? candidate : base;
}

/// Fetches parameters of the host or a disk so many units ahead that more of it predicts no shorter
/// step, as far as there is room.
Candidate fetch_ahead(const Planner& planner, const EngineOptions& asked, const Candidate& base) {
  constexpr std::array kDepths{1, 2, 3, 4, 6, 8};
  constexpr double kWorthIt = 0.995;
  const auto& zero = base.options.zero;
  const bool may =
      asked.zero.prefetch_auto && zero.overlap_comm && planner.target().sheet != nullptr;
  if (!may || zero.param_place == Place::device) return base;
  Numel largest;
  for (const auto& unit : planner.layout().units) largest = std::max(largest, unit.padded());
  auto best = base;
  double seconds = target_seconds(planner, base);
  for (const int depth : kDepths) {
    auto options = base.options;
    options.zero.prefetch_bucket_size = largest.value * depth;
    auto candidate = planner.measure(options);
    if (!fits(candidate, planner.target(), kUsableShare)) break;
    const double predicted = target_seconds(planner, candidate);
    if (predicted >= kWorthIt * seconds) continue;
    seconds = predicted;
    best = std::move(candidate);
  }
  return best;
}

/// Places states and parameters for a run that leaves it to the plan.
Candidate choose_places(const Planner& planner, EngineOptions options) {
  auto& zero = options.zero;
  zero.offload_auto = false;
  const auto& path =
      zero.optimizer_nvme_path.empty() ? zero.param_nvme_path : zero.optimizer_nvme_path;
  Named named{.stage = zero.stage, .disk = !path.empty(), .nvme_path = path};
  if (zero.offload_ratio < 1) named.ratio = zero.offload_ratio;
  const auto settings = find_settings(
      planner, options, named,
      [&](const Candidate& candidate, const auto&) { return target_seconds(planner, candidate); });
  if (!settings.fitting.empty()) return settings.fitting.front().chosen;
  return settings.too_large.empty() ? choose(planner, options)
                                    : choose(planner, settings.too_large.back().asked);
}

}  // namespace

Candidate choose(const Planner& planner, const EngineOptions& options) {
  if (options.zero.offload_auto && planner.target().sheet != nullptr) {
    return choose_places(planner, options);
  }
  if (planner.target().device == Device::cpu) {
    const Way plain{std::max(1, options.zero.coalesce),
                    options.zero.recompute.value_or(Recompute::none)};
    static_cast<void>(factors(options));
    return wait_less(planner, options, planner.measure(apply(options, plain)));
  }
  std::optional<Candidate> smallest;
  for (const auto& way : ways(options)) {
    auto candidate = planner.measure(apply(options, way));
    if (fits(candidate, planner.target(), kUsableShare)) {
      return fetch_ahead(planner, options,
                         wait_less(planner, options, send_less(planner, options, candidate)));
    }
    if (!smallest || candidate.memory.device_total() < smallest->memory.device_total()) {
      smallest = std::move(candidate);
    }
  }
  return *smallest;
}

EngineOptions choose(const EngineOptions& options, const zero::ModelParts& model,
                     const Target& target) {
  return choose(Planner(model, target), options).options;
}

}  // namespace zt::plan
