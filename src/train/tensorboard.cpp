#include "train/tensorboard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "train/event_encoding.h"

namespace zt::train {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

}  // namespace

std::string curve_tag(const std::string& name) {
  constexpr std::string_view kEval = "eval_";
  if (name.starts_with(kEval)) return "eval/" + name.substr(kEval.size());
  return "train/" + name;
}

std::string default_logging_dir(double wall_time) {
  const auto seconds = static_cast<std::time_t>(wall_time);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%b%d_%H-%M-%S", &local);
  return fmt::format("runs/{}_{}", text.data(), host_name());
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

TensorBoard::TensorBoard(const std::string& folder, WallClock clock) : clock_(std::move(clock)) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const double now = clock_();
  // Several files of one process in one second differ in the last number.
  for (int i = 0; path_.empty() || std::filesystem::exists(path_); ++i) {
    path_ = fmt::format("{}/events.out.tfevents.{:010d}.{}.{}.{}", folder,
                        static_cast<std::int64_t>(now), host_name(), ::getpid(), i);
  }
  file_.open(path_, std::ios::binary | std::ios::trunc);
  file_ << framed(version_event(now));
  flush();
}

void TensorBoard::add_text(const std::string& tag, const std::string& text) {
  file_ << framed(text_event(clock_(), 0, tag, text));
  flush();
}

void TensorBoard::on_log(const LogRecord& record) { add(curve_values(record), record.step.step); }

void TensorBoard::on_evaluate(const StepRecord& step, const EvalResult& result) {
  add(curve_values(result, step.epoch), step.step);
}

void TensorBoard::on_end(const TrainResult& result) { add(history_values(result), result.steps); }

void TensorBoard::add(const LogValues& values, std::int64_t step) {
  const double now = clock_();
  for (const auto& [name, value] : values) {
    file_ << framed(scalar_event(now, step, curve_tag(name), value));
  }
  flush();
}

void TensorBoard::flush() {
  file_ << std::flush;
  if (!file_) {
    throw FileError(fmt::format(
        "[train.tensorboard] cannot write {}. Check --logging_dir and the disk.", path_));
  }
}

}  // namespace zt::train
