#include "launch/rank_report.h"

#include <sys/mman.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"

namespace zt::launch {
namespace {

using nlohmann::json;

constexpr std::size_t kMostBytes = 1 << 16;

/// The text of torchrun's nested form or of its flat one.
std::string message_of(const json& report) {
  if (!report.is_object() || !report.contains("message")) return "";
  const json& message = report["message"];
  if (message.is_string()) return message.get<std::string>();
  if (message.is_object() && message.contains("message") && message["message"].is_string()) {
    return message["message"].get<std::string>();
  }
  return "";
}

}  // namespace

RankReport::RankReport() : fd_(memfd_create("zt_rank_report", MFD_CLOEXEC)) {
  if (fd_ < 0) {
    throw DeviceError(
        "[launch.start] memfd_create failed. Free memory or descriptors of this machine.");
  }
}

RankReport::~RankReport() {
  if (fd_ >= 0) close(fd_);
}

RankReport::RankReport(RankReport&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

std::string RankReport::message() const {
  std::string text(kMostBytes, '\0');
  const ssize_t got = pread(fd_, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return message_of(json::parse(text, nullptr, /*allow_exceptions=*/false));
}

void write_report(const std::string& path, const std::string& message) {
  const std::string now = std::to_string(std::time(nullptr));
  const json report = {{"message", {{"message", message}, {"extraInfo", {{"timestamp", now}}}}}};
  std::ofstream(path) << report.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace zt::launch
