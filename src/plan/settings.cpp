#include "plan/settings.h"

#include <algorithm>
#include <cmath>

#include "plan/choose.h"
#include "plan/table.h"
#include "zero/residency.h"

namespace zt::plan {
namespace {

using zero::EngineOptions;

/// A way of offload: where optimizer states and parameters are, and whether a part of the states
/// stays on the device. Simplest first.
struct Way {
  Place optimizer, param;
  bool split = false;
};

constexpr Way kWays[] = {{Place::device, Place::device},     {Place::host, Place::device},
                         {Place::host, Place::device, true}, {Place::host, Place::host},
                         {Place::host, Place::host, true},   {Place::nvme, Place::device},
                         {Place::nvme, Place::host},         {Place::nvme, Place::nvme}};

bool allowed(const Way& way, const Named& named) {
  const bool disk = way.optimizer == Place::nvme || way.param == Place::nvme;
  const bool ratio = way.split ? named.ratio.value_or(0.5) < 1 : named.ratio.value_or(1) == 1;
  return (!disk || named.disk) && (way.optimizer == Place::device || ratio) &&
         named.optimizer.value_or(way.optimizer) == way.optimizer &&
         named.param.value_or(way.param) == way.param;
}

std::vector<int> stages_of(const Way& way, const Named& named, int world) {
  // Stage 1 reduces at the boundary as stage 2 does where there is room for it; with one rank
  // nothing is sharded.
  std::vector<int> stages{2, 3};
  if (world == 1) stages = {2};
  if (way.param != Place::device) stages = {3};
  if (!named.stage) return stages;
  const int least = way.param != Place::device ? 3 : 1;
  return *named.stage >= least ? std::vector{*named.stage} : std::vector<int>{};
}

class Finder {
 public:
  Finder(const Planner& planner, const EngineOptions& options, const Named& named,
         const StepSeconds& seconds, const std::vector<Candidate>& rows)
      : planner_(planner), options_(options), named_(named), seconds_(seconds), rows_(rows) {
    options_.zero.offload_auto = false;  // this is what it asks for
  }

  Settings run() {
    Settings result;
    for (const auto& way : kWays) {
      if (!allowed(way, named_)) continue;
      best_.reset();
      least_.reset();
      if (way.optimizer == Place::device && way.param == Place::device) {
        without_offload();
      } else {
        for (const int stage : stages_of(way, named_, planner_.target().world)) {
          try_stage(way, stage);
        }
      }
      if (best_) {
        result.fitting.push_back(std::move(*best_));
        if (enough_) return result;
      } else if (least_ && !way.split) {
        result.too_large.push_back(std::move(*least_));
      }
    }
    order(result.fitting);
    return result;
  }

 private:
  [[nodiscard]] bool fits(const Candidate& candidate) const {
    return plan::fits(candidate, planner_.target(), kUsableShare);
  }

  /// The table's choice among the rows without offload: what to do without is not a matter of
  /// seconds alone (sent bytes, recomputation).
  void without_offload() {
    auto rows = rows_.empty() ? table(planner_, options_, false) : rows_;
    std::erase_if(rows, [&](const Candidate& row) {
      const auto& zero = row.options.zero;
      return zero.optimizer_place != Place::device || zero.param_place != Place::device ||
             zero.stage != named_.stage.value_or(zero.stage);
    });
    for (const auto& row : rows) note_least(row.options, row);
    const auto best = pick(rows, planner_.target());
    if (!best) return;
    consider(with_auto(rows[*best].options));
    enough_ = rows[*best].options.zero.recompute == Recompute::none || options_.zero.recompute;
  }

  /// The same with what takes least of the device where nothing is named.
  [[nodiscard]] static EngineOptions smallest_of(EngineOptions options) {
    auto& zero = options.zero;
    if (!zero.recompute) zero.recompute = Recompute::full;
    if (zero.coalesce == 0) zero.coalesce = 1;
    if (!zero.grad_place) zero.grad_place = Place::host;
    zero.retain_auto = false;
    if (!zero.reduce_beside) zero.reduce_beside = false;
    zero.reduce_at = zero::residency(zero).reduce_at;
    return options;
  }

  void try_stage(const Way& way, int stage) {
    auto asked = options_;
    asked.zero.stage = stage;
    asked.zero.optimizer_place = way.optimizer;
    asked.zero.param_place = way.param;
    asked.zero.offload_ratio = named_.ratio.value_or(1);
    for (auto* path : {&asked.zero.optimizer_nvme_path, &asked.zero.param_nvme_path}) {
      if (path->empty()) *path = named_.nvme_path;
    }
    const auto smallest = smallest_of(asked);
    const auto least = planner_.measure(smallest);
    note_least(smallest, least);
    if (!fits(least)) return;
    std::vector<Recompute> modes{Recompute::none, Recompute::selective, Recompute::full};
    if (options_.zero.recompute) modes = {*options_.zero.recompute};
    for (const auto mode : modes) {
      asked.zero.recompute = mode;
      if (modes.size() > 1 && !fits(planner_.measure(smallest_of(asked)))) continue;
      if (!way.split || named_.ratio) {
        consider(asked);
        continue;
      }
      for (const double ratio : ratios(asked)) {
        auto split = asked;
        split.zero.offload_ratio = ratio;
        consider(split);
      }
    }
  }

  /// Shares of the states worth trying: the smallest with which the run fits at all, the smallest
  /// with which it keeps what it would do with all states away (larger micro-batches, gradients
  /// that wait on the device), and one between. None when all must leave, or when the device's
  /// memory is not known.
  [[nodiscard]] std::vector<double> ratios(const EngineOptions& asked) const {
    if (planner_.target().device_memory.value == 0) return {};
    const auto least = least_ratio(smallest_of(asked));
    if (!least) return {};
    std::vector<double> result{*least};
    const auto all = choose(planner_, asked);
    const auto roomy = fits(all) ? least_ratio(all.options) : std::nullopt;
    if (!roomy || *roomy <= *least) return result;
    result.push_back(*roomy);
    return result;
  }

  static constexpr double kGrain = 0.05;
  static double rounded(double ratio) {
    return std::round(std::ceil(ratio / kGrain - 1e-6) * 5) / 100;
  }

  /// The smallest share with which these very options fit; empty when all states must leave.
  [[nodiscard]] std::optional<double> least_ratio(EngineOptions options) const {
    constexpr int kTries = 4;
    const double room = kUsableShare * static_cast<double>(planner_.target().device_memory.value);
    const auto needs = [&](double ratio) {
      options.zero.offload_ratio = ratio;
      return planner_.measure(options);
    };
    const auto device = [](const Candidate& candidate) {
      return static_cast<double>(candidate.memory.device_total().value);
    };
    const double all = device(needs(1));
    const double each = (device(needs(0.5)) - all) / 0.5;  // bytes of a whole ratio
    if (each <= 0) return std::nullopt;
    double ratio = std::max(kGrain, rounded(1 - (room - all) / each));
    for (int i = 0; i < kTries && ratio < 1 - kGrain / 2; ++i, ratio = rounded(ratio + kGrain)) {
      if (fits(needs(ratio))) return ratio;
    }
    return std::nullopt;
  }

  /// What a run with these settings would take, if it is the fastest of this way so far.
  void consider(const EngineOptions& asked) {
    Setting setting{asked, choose(planner_, asked), 0};
    if (!fits(setting.chosen)) return;
    setting.seconds = seconds_(setting.chosen, planner_.program(setting.chosen.options));
    if (!best_ || setting.seconds < best_->seconds) best_ = std::move(setting);
  }

  void note_least(const EngineOptions& asked, const Candidate& candidate) {
    const bool less =
        !least_ || candidate.memory.device_total() < least_->chosen.memory.device_total();
    if (less) least_ = Setting{asked, candidate, 0};
  }

  /// A row of the table as a user asks for it: what the row fixed to be small is open again.
  [[nodiscard]] EngineOptions with_auto(EngineOptions row) const {
    row.zero.reduce_at = options_.zero.reduce_at;
    row.zero.retain_auto = options_.zero.retain_auto;
    row.zero.coalesce = options_.zero.coalesce;
    row.zero.reduce_beside = options_.zero.reduce_beside;
    return row;
  }

  static void order(std::vector<Setting>& fitting) {
    constexpr double kWorthIt = 0.98;
    std::size_t best = 0;
    for (std::size_t i = 1; i < fitting.size(); ++i) {
      if (fitting[i].seconds < kWorthIt * fitting[best].seconds) best = i;
    }
    if (fitting.empty()) return;
    std::rotate(fitting.begin(), fitting.begin() + static_cast<std::ptrdiff_t>(best),
                fitting.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::stable_sort(fitting.begin() + 1, fitting.end(),
                     [](const Setting& a, const Setting& b) { return a.seconds < b.seconds; });
  }

  const Planner& planner_;
  EngineOptions options_;
  const Named& named_;
  const StepSeconds& seconds_;
  const std::vector<Candidate>& rows_;
  std::optional<Setting> best_, least_;  ///< of the way that is tried
  bool enough_ = false;                  ///< nothing has to leave the device or be computed twice
};

}  // namespace

Settings find_settings(const Planner& planner, const EngineOptions& options, const Named& named,
                       const StepSeconds& seconds, const std::vector<Candidate>& rows) {
  return Finder(planner, options, named, seconds, rows).run();
}

}  // namespace zt::plan
