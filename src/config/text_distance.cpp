#include "config/text_distance.h"

#include <algorithm>
#include <array>

namespace zt::config {
namespace {

constexpr std::size_t kLongest = 64;

char folded(char c) { return c == '-' ? '_' : c; }

}  // namespace

int edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, kLongest);
  b = b.substr(0, kLongest);
  // Three rows of the table of optimal string alignment distances: i-2, i-1 and i.
  std::array<std::array<int, kLongest + 1>, 3> rows{};
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    const auto& two_above = rows[(i + 1) % 3];
    row[0] = static_cast<int>(i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const int change = folded(a[i - 1]) == folded(b[j - 1]) ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + change});
      if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) &&
          folded(a[i - 2]) == folded(b[j - 1])) {
        row[j] = std::min(row[j], two_above[j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

Nearest nearest(std::string_view word, const std::vector<std::string>& candidates) {
  Nearest best;
  for (const std::string& candidate : candidates) {
    const int distance = edit_distance(word, candidate);
    if (best.name.empty() || distance < best.distance) best = {candidate, distance};
  }
  return best;
}

}  // namespace zt::config
