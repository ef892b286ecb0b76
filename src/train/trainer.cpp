#include "train/trainer.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "train/rank_values.h"

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
  started_ = step_ended_ = now_seconds();
  double loss_sum = 0;
  for (std::int64_t step = 1; step <= plan.total_steps; ++step) {
    const StepRecord record = run_step(step);
    if (!record.skipped) loss_sum += record.loss;
    result_.epoch = record.epoch;
    mark(comm::Activity::logging, step);
    log_window_.add(record);
    for (const auto& observer : *parts_.observers) observer->on_step(record);
    if (plan.logs(step)) {
      const LogRecord logged = log_window_.take(record);
      for (const auto& observer : *parts_.observers) observer->on_log(logged);
    }
    check_finite(record);
    if (parts_.eval_data != nullptr && plan.evaluates(step)) evaluate_after(record);
  }
  result_.steps = plan.total_steps;
  const auto applied = plan.total_steps - result_.skipped_steps;
  result_.mean_loss = applied > 0 ? loss_sum / static_cast<double>(applied) : 0;
  result_.seconds = now_seconds() - started_;
  result_.samples = options_.samples;
  result_.flops = options_.flops_per_token *
                  static_cast<double>(result_.samples_seen * options_.window.micro_batch.sequence);
  for (const auto& observer : *parts_.observers) observer->on_end(result_);
  return result_;
}

void Trainer::evaluate_after(const StepRecord& record) {
  const auto result = evaluate(*parts_.engine, *parts_.eval_data, parts_.rank);
  for (const auto& observer : *parts_.observers) observer->on_evaluate(record, result);
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

StepRecord Trainer::run_step(std::int64_t step) {
  auto& engine = *parts_.engine;
  auto& rank = parts_.rank;
  mark(comm::Activity::reading_data, step);
  const auto step_batch = read_ahead(step);
  const Window window = make_window(step_batch, options_.window);
  mark(comm::Activity::exchanging_counts, step);
  const auto counts =
      gather_values(*rank.communicator, std::vector<std::int64_t>{window.targets, window.tokens});
  std::int64_t targets = 0, tokens = 0;
  for (const auto& of_rank : counts) {
    targets += of_rank[0];
    tokens += of_rank[1];
  }
  engine.begin_step(targets);
  for (const auto& batch : window.batches) {
    engine.micro_step(to_staging(batch, rank.device));
  }
  const double learning_rate = options_.learning_rate(engine.applied_steps());
  const auto outcome = engine.step(learning_rate);

  result_.samples_seen += tokens / options_.window.micro_batch.sequence;
  const double ended = now_seconds();
  const double seconds = ended - std::exchange(step_ended_, ended);
  return {.step = step,
          .epoch = step_batch.epoch,
          .loss = outcome.loss,
          .grad_norm = outcome.grad_norm,
          .learning_rate = learning_rate,
          .tokens = tokens,
          .tokens_per_second = static_cast<double>(tokens) / seconds,
          .peak_memory = peak_memory(),
          .elapsed = ended - started_,
          .skipped = outcome.skipped,
          .cause = outcome.cause,
          .loss_scale = outcome.loss_scale,
          .next_loss_scale = outcome.next_loss_scale};
}

void Trainer::check_finite(const StepRecord& record) {
  if (!record.skipped) {
    nonfinite_steps_ = 0;
    return;
  }
  ++nonfinite_steps_;
  ++result_.skipped_steps;
  const auto what = fmt::format("loss {}, gradient norm {} ({})", record.loss, record.grad_norm,
                                record.cause.empty() ? "the sum of finite parts" : record.cause);
  const auto scale = record.loss_scale > 0 ? fmt::format("; loss scale {:.10g} -> {:.10g}",
                                                         record.loss_scale, record.next_loss_scale)
                                           : std::string();
  if (parts_.rank.communicator->rank() == 0) {  // all ranks know the same
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
