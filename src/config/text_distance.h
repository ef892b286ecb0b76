#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace zt::config {

/// Number of single-character insertions, deletions, replacements and swaps of neighbours that
/// turn `a` into `b`; `-` and `_` count as equal. Words longer than 64 characters are cut.
[[nodiscard]] int edit_distance(std::string_view a, std::string_view b);

struct Nearest {
  std::string name;  ///< empty when there are no candidates
  int distance = 0;
};

/// The candidate with the smallest distance, the first of equals.
[[nodiscard]] Nearest nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace zt::config
