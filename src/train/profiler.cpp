#include "train/profiler.h"

#include <fmt/format.h>

#include <fstream>

#include "base/error.h"
#include "base/log.h"
#include "train/trace.h"

namespace zt::train {
namespace {

constexpr std::int64_t kPlainSteps = 2;  ///< first everything is warmed up and captured
constexpr std::int64_t kWarmups = 1;     ///< then captured again with times

class Profiler final : public TrainObserver {
 public:
  Profiler(zero::Engine& engine, ProfileOptions options)
      : engine_(engine), options_(std::move(options)) {}

  void on_step(const StepRecord& /*record*/) override {
    ++steps_;
    if (steps_ == kPlainSteps) engine_.measure_operations(true);
    if (steps_ == kPlainSteps + kWarmups) (void)engine_.take_measured();
    if (steps_ == kPlainSteps + kWarmups + options_.steps) finish();
  }

  void on_end(const TrainResult& /*result*/) override {
    if (!finished_) finish();
  }

  void on_stop() override {
    if (!finished_) finish();
  }

 private:
  void finish() {
    finished_ = true;
    const auto lists = engine_.take_measured();
    engine_.measure_operations(false);
    if (options_.path.empty()) return;
    if (steps_ <= kPlainSteps + kWarmups) {
      log::warning("train", fmt::format("--profile: no trace was written: got {} steps, the first "
                                        "that is timed is the {}th",
                                        steps_, kPlainSteps + kWarmups + 1));
      return;
    }
    std::vector<TraceEvent> events;
    for (const auto& list : lists) {
      const double origin = list.begin - lists.front().begin;
      for (const auto& op : list.operations) {
        events.push_back(
            {op.name, op.stream, to_string(list.variant), origin + op.begin, origin + op.end});
      }
    }
    std::ofstream file(options_.path);
    file << chrome_trace(events, options_.rank);
    if (!file.flush()) throw FileError("[train.profiler] cannot write " + options_.path + ".");
    log::info("train", fmt::format("wrote {}: {} operations", options_.path, events.size()));
  }

  zero::Engine& engine_;
  ProfileOptions options_;
  std::int64_t steps_ = 0;
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<TrainObserver> make_profiler(zero::Engine& engine, ProfileOptions options) {
  return std::make_unique<Profiler>(engine, std::move(options));
}

}  // namespace zt::train
