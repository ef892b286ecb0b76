#pragma once

#include <string>

namespace zt::log {

enum class Level { debug, info, warning, error, off };

/// Sets up the process-wide log once: rank in the pattern, lowest level shown. Writes to stderr.
void init(int rank, Level level);

/// Parses `debug|info|warning|error|critical|passive`. Errors: ConfigError.
Level parse_level(const std::string& text);

/// Each writes one line: time, level, rank, module, message. Thread-safe.
void debug(const std::string& module, const std::string& message);
void info(const std::string& module, const std::string& message);
void warning(const std::string& module, const std::string& message);
void error(const std::string& module, const std::string& message);

}  // namespace zt::log
