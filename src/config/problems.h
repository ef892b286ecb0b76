#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace zt::config {

struct Problem {
  std::string place;   ///< `zero2.json:12` or `command line`
  std::string text;    ///< what is wrong: got X, expected Y
  std::string remedy;  ///< what to do; may be empty
};

/// Collects everything that is wrong, so that the user sees all of it at once.
class Problems {
 public:
  /// `operation`: the bracketed prefix, `config.resolve`.
  explicit Problems(std::string operation) : operation_(std::move(operation)) {}

  void add(const std::string& place, const std::string& text, const std::string& remedy = "") {
    all_.push_back({place, text, remedy});
  }
  void add(const std::vector<Problem>& more) { all_.insert(all_.end(), more.begin(), more.end()); }

  [[nodiscard]] const std::vector<Problem>& all() const { return all_; }

  /// Errors: ConfigError with one line per problem, in the order they were found, then `notices`.
  void throw_if_any(const std::vector<std::string>& notices = {}) const;

  /// The text of that error.
  [[nodiscard]] std::string message(const std::vector<std::string>& notices = {}) const;

 private:
  std::string operation_;
  std::vector<Problem> all_;
};

}  // namespace zt::config
