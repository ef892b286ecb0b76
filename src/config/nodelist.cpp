#include <algorithm>
#include <cctype>

#include "config/rank_discovery.h"

namespace zt::config {
namespace {

constexpr std::size_t kMostHosts = 100'000;
using Names = std::vector<std::string>;

bool is_number(const std::string& text) {
  return !text.empty() && text.size() <= 9 &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// At commas outside brackets; nothing when brackets do not match.
std::optional<Names> split_outside_brackets(const std::string& text) {
  Names parts(1);
  bool inside = false;
  for (const char c : text) {
    if ((c == '[' && inside) || (c == ']' && !inside)) return std::nullopt;
    if (c == '[') inside = true;
    if (c == ']') inside = false;
    if (c == ',' && !inside) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (inside) return std::nullopt;
  return parts;
}

/// `001-003` as 001 002 003: the width of the first number stays.
bool append_range(const std::string& range, Names& numbers) {
  const std::size_t dash = range.find('-');
  const std::string first = range.substr(0, dash);
  const std::string last = dash == std::string::npos ? first : range.substr(dash + 1);
  if (!is_number(first) || !is_number(last)) return false;
  const std::size_t low = std::stoul(first), high = std::stoul(last);
  if (high < low || high - low >= kMostHosts) return false;
  for (std::size_t value = low; value <= high; ++value) {
    std::string number = std::to_string(value);
    if (number.size() < first.size()) number.insert(0, first.size() - number.size(), '0');
    numbers.push_back(number);
  }
  return true;
}

std::optional<Names> expand_ranges(const std::string& list) {
  Names numbers;
  std::size_t at = 0;
  while (at <= list.size()) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    if (!append_range(list.substr(at, comma - at), numbers)) return std::nullopt;
    at = comma + 1;
  }
  return numbers;
}

/// One element of the list, which may have several brackets: r[1-2]n[01-04].
std::optional<Names> expand_element(const std::string& element) {
  Names names(1);
  std::size_t at = 0;
  while (at < element.size()) {
    const std::size_t open = std::min(element.find('[', at), element.size());
    for (std::string& name : names) name += element.substr(at, open - at);
    if (open == element.size()) break;
    const std::size_t end = element.find(']', open);
    const auto numbers = expand_ranges(element.substr(open + 1, end - open - 1));
    if (!numbers || names.size() * numbers->size() > kMostHosts) return std::nullopt;
    Names longer;
    for (const std::string& name : names) {
      for (const std::string& number : *numbers) longer.push_back(name + number);
    }
    names = std::move(longer);
    at = end + 1;
  }
  if (names.front().empty()) return std::nullopt;
  return names;
}

}  // namespace

std::optional<std::vector<std::string>> expand_nodelist(const std::string& text) {
  const auto elements = split_outside_brackets(text);
  if (!elements) return std::nullopt;
  Names all;
  for (const std::string& element : *elements) {
    const auto names = expand_element(element);
    if (!names || all.size() + names->size() > kMostHosts) return std::nullopt;
    all.insert(all.end(), names->begin(), names->end());
  }
  return all;
}

}  // namespace zt::config
