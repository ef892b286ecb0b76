#include "train/trainer.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "train/not_finite.h"
#include "zero/rank_values.h"

namespace zt::train {
namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Trainer::Trainer(TrainerParts parts, TrainerOptions options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      log_window_(options_.logging_nan_inf_filter) {}

TrainResult Trainer::run() {
  const auto& plan = options_.plan;
  const auto& start = options_.start;
  started_ = step_ended_ = now_seconds();
  result_.epoch = start.epoch;
  result_.steps = result_.resumed_step = start.step;
  result_.samples_seen = result_.resumed_samples = start.samples_seen;
  for (const auto& record : start.unlogged) log_window_.add(record);
  double loss_sum = 0;
  for (std::int64_t step = start.step + 1; step <= plan.total_steps && !result_.stopped; ++step) {
    const StepRecord record = run_step(step);
    if (!record.skipped) loss_sum += record.loss;
    result_.epoch = record.epoch;
    result_.steps = step;
    tell(record);
    check_finite(record);
    result_.stopped = !after_step(record);
  }
  if (parts_.checkpoints != nullptr) parts_.checkpoints->finish();
  const auto applied = result_.steps - start.step - result_.skipped_steps;
  // 0 would read as a perfect model.
  const double none = result_.steps > start.step ? std::numeric_limits<double>::quiet_NaN() : 0;
  result_.mean_loss = applied > 0 ? loss_sum / static_cast<double>(applied) : none;
  result_.seconds = now_seconds() - started_;
  result_.samples = options_.samples;
  result_.flops = options_.flops_per_token *
                  static_cast<double>(result_.samples_seen * options_.window.micro_batch.sequence);
  for (const auto& observer : *parts_.observers) {
    result_.stopped ? observer->on_stop() : observer->on_end(result_);
  }
  return result_;
}

void Trainer::tell(const StepRecord& record) {
  mark(comm::Activity::logging, record.step);
  log_window_.add(record);
  for (const auto& observer : *parts_.observers) observer->on_step(record);
  if (!options_.plan.logs(record.step)) return;
  const LogRecord logged = log_window_.take(record);
  for (const auto& observer : *parts_.observers) observer->on_log(logged);
}

bool Trainer::after_step(const StepRecord& record) {
  auto* checkpoints = parts_.checkpoints;
  const bool wanted = checkpoints != nullptr && checkpoints->needs_evaluation(record.step);
  if (parts_.eval_data != nullptr && (wanted || options_.plan.evaluates(record.step))) {
    evaluate_after(record);
  }
  if (checkpoints == nullptr) return true;
  mark(comm::Activity::saving, record.step);
  const bool stops = checkpoints->after_step(record, wishes_, result_.samples_seen);
  step_ended_ = now_seconds();
  return !stops;
}

void Trainer::evaluate_after(const StepRecord& record) {
  const auto result = evaluate(*parts_.engine, *parts_.eval_data, parts_.rank);
  for (const auto& observer : *parts_.observers) observer->on_evaluate(record, result);
  if (parts_.checkpoints != nullptr) parts_.checkpoints->evaluated(record.step, result);
  step_ended_ = now_seconds();
}

data::StepBatch Trainer::read_ahead(std::int64_t step) {
  data::StepBatch current = next_.valid() ? next_.get() : parts_.train_data->read_step(step - 1);
  if (step < options_.plan.total_steps) {
    next_ = std::async(std::launch::async,
                       [loader = parts_.train_data, step] { return loader->read_step(step); });
  }
  return current;
}

/// For reports of a hang.
void Trainer::mark(comm::Activity activity, std::int64_t step) const {
  if (parts_.rank.position != nullptr) parts_.rank.position->begin(activity, step);
}

Trainer::StepTotals Trainer::gather_totals(const Window& window) {
  const auto wishes = parts_.checkpoints != nullptr ? parts_.checkpoints->wishes() : 0;
  const std::vector<std::int64_t> mine{window.targets, window.tokens, wishes};
  StepTotals totals;
  for (const auto& of_rank : zero::gather_values(*parts_.rank.communicator, mine)) {
    totals.targets += of_rank[0];
    totals.tokens += of_rank[1];
    totals.wishes |= of_rank[2];
  }
  return totals;
}

StepRecord Trainer::run_step(std::int64_t step) {
  auto& engine = *parts_.engine;
  auto& rank = parts_.rank;
  mark(comm::Activity::reading_data, step);
  const auto step_batch = read_ahead(step);
  const Window window = make_window(step_batch, options_.window);
  mark(comm::Activity::exchanging_counts, step);
  const auto totals = gather_totals(window);
  wishes_ = totals.wishes;
  engine.begin_step(totals.targets);
  for (const auto& batch : window.batches) {
    engine.micro_step(to_staging(batch, rank.device));
  }
  const double learning_rate = options_.learning_rate(engine.applied_steps());
  const auto outcome = engine.step(learning_rate);

  result_.samples_seen += totals.tokens / options_.window.micro_batch.sequence;
  const double ended = now_seconds();
  const double seconds = ended - std::exchange(step_ended_, ended);
  return {.step = step,
          .epoch = step_batch.epoch,
          .loss = without_sign_of_nan(outcome.loss),
          .grad_norm = without_sign_of_nan(outcome.grad_norm),
          .learning_rate = learning_rate,
          .tokens = totals.tokens,
          .tokens_per_second = static_cast<double>(totals.tokens) / seconds,
          .peak_memory = peak_memory(),
          .elapsed = ended - started_,
          .save_blocked_seconds =
              parts_.checkpoints != nullptr ? parts_.checkpoints->take_blocked_seconds() : 0,
          .skipped = outcome.skipped,
          .cause = outcome.cause,
          .loss_scale = outcome.loss_scale,
          .next_loss_scale = outcome.next_loss_scale};
}

void Trainer::check_finite(const StepRecord& record) {
  const bool tells = parts_.rank.communicator->rank() == 0;  // all ranks know the same
  if (!record.skipped) {
    nonfinite_steps_ = 0;
    const auto warning = loss_warning(record);
    if (tells && !warning.empty()) log::warning("train", warning);
    return;
  }
  ++nonfinite_steps_;
  ++result_.skipped_steps;
  const auto what = fmt::format("loss {}, gradient norm {} ({})", record.loss, record.grad_norm,
                                record.cause.empty() ? "the sum of finite parts" : record.cause);
  const auto scale = record.loss_scale > 0 ? fmt::format("; loss scale {:.10g} -> {:.10g}",
                                                         record.loss_scale, record.next_loss_scale)
                                           : std::string();
  if (tells) {
    log::warning("train",
                 fmt::format("step {} skipped, not finite: {}{} ({} in a row, {} in all)",
                             record.step, what, scale, nonfinite_steps_, result_.skipped_steps));
  }
  const int limit = options_.max_nonfinite_steps;
  if (limit == 0 || nonfinite_steps_ < limit) return;
  throw Error(fmt::format(
      "[train.step] step {}: {} consecutive steps were not finite: got {}, expected at "
      "most {} in a row (rank {}). Lower --learning_rate, check the data, or raise "
      "--max_nonfinite_steps.",
      record.step, nonfinite_steps_, what, limit - 1, parts_.rank.communicator->rank()));
}

Bytes Trainer::peak_memory() const {
  if (parts_.rank.device == Device::cuda) {
    return parts_.engine->program().device_arena + parts_.engine->library_peak();
  }
  return peak_growth(options_.memory_base);
}

}  // namespace zt::train
