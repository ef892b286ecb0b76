#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace zt::cli {
namespace {

constexpr std::chrono::milliseconds kBetween{100};
constexpr int kCells = 30;

}  // namespace

ProgressBar::ProgressBar(std::string label, std::FILE* out)
    : label_(std::move(label)),
      out_(isatty(fileno(out)) == 1 ? out : nullptr),
      started_(std::chrono::steady_clock::now()) {}

ProgressBar::~ProgressBar() {
  if (width_ > 0) std::fprintf(out_, "\r%*s\r", static_cast<int>(width_), "");
}

std::string ProgressBar::line(const std::string& label, Bytes done, Bytes total, double seconds) {
  const auto share = std::clamp(
      total.value == 0 ? 1.0 : static_cast<double>(done.value) / static_cast<double>(total.value),
      0.0, 1.0);
  const auto filled = static_cast<std::size_t>(share * kCells);
  const auto rate = seconds > 0 ? static_cast<double>(done.value) / seconds : 0.0;
  return fmt::format("{} [{:<{}}] {:>3.0f} %, {} of {}, {}/s", label, std::string(filled, '#'),
                     kCells, share * 100, format_bytes(done), format_bytes(total),
                     format_bytes({static_cast<std::int64_t>(rate)}));
}

void ProgressBar::show(Bytes done, Bytes total) {
  if (out_ == nullptr) return;
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (width_ > 0 && now - shown_ < kBetween) return;
  shown_ = now;
  const auto text =
      line(label_, done, total, std::chrono::duration<double>(now - started_).count());
  std::fprintf(out_, "\r%-*s", static_cast<int>(width_), text.c_str());
  std::fflush(out_);
  width_ = std::max(width_, text.size());
}

}  // namespace zt::cli
