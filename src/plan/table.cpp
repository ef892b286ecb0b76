#include "plan/table.h"

#include <array>
#include <tuple>

#include "zero/residency.h"

namespace zt::plan {
namespace {

struct Offload {
  Place optimizer, param;
};

bool allowed(const config::ZeroConfig& zero) {
  try {
    static_cast<void>(zero::residency(zero));
    return true;
  } catch (const ConfigError&) {
    return false;
  }
}

int offload_rank(const config::ZeroConfig& zero) {
  return (zero.optimizer_place == Place::device ? 0 : 1) +
         (zero.param_place == Place::device ? 0 : 1);
}

}  // namespace

std::vector<Candidate> table(const Planner& planner, const zero::EngineOptions& options,
                             bool offload) {
  constexpr int kStages = 4;
  constexpr std::array kOffloads{Offload{Place::device, Place::device},
                                 Offload{Place::host, Place::device},
                                 Offload{Place::host, Place::host}};
  std::vector<Recompute> modes{Recompute::none, Recompute::selective, Recompute::full};
  if (options.zero.recompute) modes = {*options.zero.recompute};
  std::vector<Candidate> rows;
  for (int stage = 0; stage < kStages; ++stage) {
    for (const auto& places : kOffloads) {
      if (!offload && places.optimizer != Place::device) continue;
      for (const auto recompute : modes) {
        auto row = options;
        row.zero.stage = stage;
        row.zero.optimizer_place = places.optimizer;
        row.zero.param_place = places.param;
        row.zero.recompute = recompute;
        if (allowed(row.zero)) rows.push_back(table_row(planner, row));
      }
    }
  }
  return rows;
}

Candidate table_row(const Planner& planner, zero::EngineOptions options) {
  options.zero.retain_auto = false;
  options.zero.grad_place.reset();
  options.zero.reduce_beside = false;
  return planner.measure(options);
}

std::optional<std::size_t> pick(const std::vector<Candidate>& rows, const Target& target,
                                double share) {
  const auto cost = [](const Candidate& row) {
    const auto& zero = row.options.zero;
    return std::tuple(offload_rank(zero), zero.recompute.value_or(Recompute::none), row.costs.sent,
                      zero.stage);
  };
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!fits(rows[i], target, share)) continue;
    if (!best || cost(rows[i]) < cost(rows[*best])) best = i;
  }
  return best;
}

const char* offload_name(const config::ZeroConfig& zero) {
  const bool optimizer = zero.optimizer_place != Place::device;
  const bool params = zero.param_place != Place::device;
  if (optimizer) return params ? "optimizer+params" : "optimizer";
  return params ? "params" : "none";
}

}  // namespace zt::plan
