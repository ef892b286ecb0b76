#pragma once

#include <string>
#include <vector>

namespace zt::config {

/// Collects everything that is wrong, so that the user sees all of it at once.
class Problems {
 public:
  /// `operation`: the bracketed prefix, `config.resolve`.
  explicit Problems(std::string operation) : operation_(std::move(operation)) {}

  /// One problem. `place`: `zero2.json:12` or `command line`.
  void add(const std::string& place, const std::string& text);

  [[nodiscard]] bool empty() const { return lines_.empty(); }
  [[nodiscard]] std::size_t count() const { return lines_.size(); }

  /// Errors: ConfigError with one line per problem, in the order they were found, then `notices`.
  void throw_if_any(const std::vector<std::string>& notices = {}) const;

 private:
  std::string operation_;
  std::vector<std::string> lines_;
};

}  // namespace zt::config
