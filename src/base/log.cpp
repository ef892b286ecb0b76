// The only file that knows spdlog; compiled without torch includes, since torch brings another fmt.
#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "base/error.h"

namespace zt::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    case Level::off:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

void write(spdlog::level::level_enum level, const std::string& module, const std::string& message) {
  spdlog::default_logger_raw()->log(level, "{}: {}", module, message);
}

}  // namespace

void init(int rank, Level level) {
  auto logger = std::make_shared<spdlog::logger>(
      "zt", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("%H:%M:%S.%e %^%l%$ [rank " + std::to_string(rank) + "] %v");
  logger->set_level(to_spdlog(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

Level parse_level(const std::string& text) {
  if (text == "debug" || text == "detail") return Level::debug;
  if (text == "info" || text == "passive") return Level::info;
  if (text == "warning") return Level::warning;
  if (text == "error" || text == "critical") return Level::error;
  throw ConfigError("[base.log] --log_level: got '" + text +
                    "', expected debug, info, warning, error, critical or passive.");
}

void debug(const std::string& module, const std::string& message) {
  write(spdlog::level::debug, module, message);
}
void info(const std::string& module, const std::string& message) {
  write(spdlog::level::info, module, message);
}
void warning(const std::string& module, const std::string& message) {
  write(spdlog::level::warn, module, message);
}
void error(const std::string& module, const std::string& message) {
  write(spdlog::level::err, module, message);
}

}  // namespace zt::log
