#include "train/checkpointing.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace zt::train {

Checkpointing::Checkpointing(CheckpointingParts parts, CheckpointingOptions options)
    : parts_(std::move(parts)), options_(std::move(options)) {}

std::int64_t Checkpointing::wishes() {
  std::int64_t bits = 0;
  if (parts_.signals != nullptr) {
    if (parts_.signals->stop_signal() != 0) bits |= kWishStop;
    if (parts_.signals->take_save_wish()) bits |= kWishSave;
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started_;
  const double limit = options_.checkpoint.max_train_seconds;
  if (limit > 0 && elapsed.count() >= limit) bits |= kWishTimeOver;
  if (parts_.writer->failed()) bits |= kWishFailed;
  return bits;
}

bool Checkpointing::tracks_best() const {
  return options_.checkpoint.load_best_model_at_end ||
         options_.checkpoint.save_strategy == config::SaveStrategy::best;
}

bool Checkpointing::saves(std::int64_t step) const {
  if (options_.checkpoint.save_strategy == config::SaveStrategy::best) return improved_;
  return options_.plan.saves(step);
}

bool Checkpointing::needs_evaluation(std::int64_t step) const {
  return tracks_best() && step == options_.plan.total_steps;
}

std::string Checkpointing::folder_of(std::int64_t step) const {
  return (std::filesystem::path(options_.output_dir) / fmt::format("checkpoint-{}", step)).string();
}

void Checkpointing::evaluated(std::int64_t step, const EvalResult& result) {
  improved_ = false;
  const bool by_best = options_.checkpoint.save_strategy == config::SaveStrategy::best;
  if (!tracks_best() || (!by_best && !options_.plan.saves(step))) return;
  const double metric = options_.checkpoint.metric_for_best_model == "perplexity"
                            ? perplexity(result.loss)
                            : result.loss;
  auto& best = options_.best;
  const bool first = best.step == 0 || std::isnan(best.metric);  // nothing compares with NaN
  improved_ =
      first ? !std::isnan(metric)
            : (options_.checkpoint.greater_is_better ? metric > best.metric : metric < best.metric);
  if (!improved_) return;
  best = {metric, step, folder_of(step)};
  if (parts_.set_best) parts_.set_best(best);
}

void Checkpointing::save(std::int64_t step, double epoch, std::int64_t samples_seen) {
  auto state = options_.run;
  state.global_step = step;
  state.applied_steps = parts_.engine->applied_steps();
  state.samples_seen = samples_seen;
  state.epoch = epoch;
  state.loss_scaler = parts_.engine->loss_scaler_state();
  if (parts_.trainer_state) state.trainer_state = parts_.trainer_state();
  const auto& checkpoint = options_.checkpoint;
  parts_.writer->save(std::move(state), {.save_total_limit = checkpoint.save_total_limit,
                                         .keep_every = checkpoint.save_keep_every,
                                         .best = options_.best.folder});
}

bool Checkpointing::after_step(const StepRecord& record, std::int64_t wishes,
                               std::int64_t samples_seen) {
  if ((wishes & kWishFailed) != 0) {
    parts_.writer->wait();
    throw CheckpointError(
        "[train.save] a checkpoint could not be written by another rank. Look at "
        "the log of the other ranks.");
  }
  report_finished();
  const bool stops = (wishes & (kWishStop | kWishTimeOver)) != 0;
  if (stops && record.step < options_.plan.total_steps) {
    log::info("train", fmt::format("step {}: saving and stopping ({})", record.step,
                                   (wishes & kWishStop) != 0 ? "signal" : "--max_train_time"));
  }
  if (stops || (wishes & kWishSave) != 0 || saves(record.step)) {
    save(record.step, record.epoch, samples_seen);
    if (stops) finish();
    report_finished();
  }
  improved_ = false;
  return stops && record.step < options_.plan.total_steps;
}

void Checkpointing::finish() {
  parts_.writer->wait();
  report_finished();
}

void Checkpointing::collect_blocked() {
  const double blocked = parts_.writer->take_blocked_seconds();
  blocked_of_save_ += blocked;
  blocked_untold_ += blocked;
}

double Checkpointing::take_blocked_seconds() {
  collect_blocked();
  return std::exchange(blocked_untold_, 0.0);
}

void Checkpointing::report_finished() {
  for (const auto& saved : parts_.writer->take_finished()) {
    collect_blocked();
    const double blocked = std::exchange(blocked_of_save_, 0.0);
    for (const auto& observer : *parts_.observers) observer->on_save(saved.step, saved.folder);
    log::info("train", fmt::format("checkpoint-{}: written in {:.2f} s, training waited {:.3f} s",
                                   saved.step, saved.seconds, blocked));
    for (const auto& note : saved.notes) log::info("train", note);
  }
  for (const auto& note : parts_.writer->take_notes()) log::info("train", note);
}

}  // namespace zt::train
