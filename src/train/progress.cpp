#include "train/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "train/not_finite.h"

namespace zt::train {
namespace {

constexpr int kBarWidth = 20;

std::string bar(std::int64_t step, std::int64_t total) {
  const auto filled = static_cast<std::size_t>(total > 0 ? kBarWidth * step / total : 0);
  return "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "]";
}

}  // namespace

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string format_count(double count) {
  if (count >= 1e9) return fmt::format("{:.3g}B", count / 1e9);
  if (count >= 1e6) return fmt::format("{:.3g}M", count / 1e6);
  if (count >= 1e3) return fmt::format("{:.3g}k", count / 1e3);
  return fmt::format("{:.0f}", count);
}

Progress::Progress(ProgressOptions options, std::FILE* out) : options_(options), out_(out) {}

std::string Progress::describe(const StepRecord& record) const {
  const auto done = std::max<std::int64_t>(1, record.step - options_.resumed_step);
  const double remaining = record.elapsed / static_cast<double>(done) *
                           static_cast<double>(options_.total_steps - record.step);
  std::string text =
      fmt::format("step {}/{} epoch {:.2f} loss {:.4f} lr {:.3g} grad_norm {:.3f} {} tok/s",
                  record.step, options_.total_steps, record.epoch, record.loss,
                  record.learning_rate, record.grad_norm, format_count(record.tokens_per_second));
  if (options_.show_mfu) {
    const double rate = record.tokens_per_second / options_.world * options_.flops_per_token;
    text += fmt::format(" MFU {:.1f}%", 100 * rate / kMfuPeakFlops);
  }
  if (record.loss_scale > 0) text += fmt::format(" loss_scale {:.10g}", record.loss_scale);
  text +=
      fmt::format(" peak {} ETA {}", format_bytes(record.peak_memory), format_duration(remaining));
  if (record.skipped) text += " SKIPPED";
  return text;
}

void Progress::on_step(const StepRecord& record) {
  if (!options_.terminal) return;
  std::string line = bar(record.step, options_.total_steps) + " " + describe(record);
  const std::size_t width = line.size();
  if (width < shown_) line.append(shown_ - width, ' ');  // wipe what the longer line before left
  shown_ = width;
  fmt::print(out_, "\r{}", line);
  std::fflush(out_);
  if (record.skipped) end_line();  // a warning follows
}

void Progress::on_log(const LogRecord& record) {
  if (options_.terminal) return;
  StepRecord shown = record.step;
  shown.loss = record.loss;
  fmt::print(out_, "{}\n", describe(shown));
  std::fflush(out_);
}

void Progress::on_evaluate(const StepRecord& step, const EvalResult& result) {
  end_line();
  const auto after = step.step > 0 ? fmt::format("step {}: ", step.step) : std::string();
  log::info(
      "train",
      fmt::format("{}eval_loss {:.6f}, perplexity {:.4f} over {} targets in {} blocks, {:.1f} s",
                  after, result.loss, perplexity(result.loss), result.tokens, result.samples,
                  result.seconds));
  const auto warning = evaluation_warning(step.step, result);
  if (!warning.empty()) log::warning("train", warning);
}

void Progress::on_save(std::int64_t step, const std::string& folder) {
  end_line();
  log::info("train", fmt::format("step {}: saved {}", step, folder));
}

void Progress::on_end(const TrainResult& result) {
  end_line();
  log::info("train", fmt::format("trained {} steps in {:.1f} s, mean loss {:.4f}, {} skipped",
                                 result.steps - result.resumed_step, result.seconds,
                                 result.mean_loss, result.skipped_steps));
}

void Progress::end_line() {
  if (shown_ > 0) fmt::print(out_, "\n");
  shown_ = 0;
  std::fflush(out_);
}

}  // namespace zt::train
