#include "checkpoint/names.h"

#include <charconv>
#include <string_view>

namespace zt::checkpoint {
namespace {

constexpr std::string_view kPrefix = "checkpoint-";
constexpr std::string_view kPartial = ".partial";
constexpr std::string_view kDeleted = ".deleted";
constexpr std::string_view kReplaced = ".partial.old";

}  // namespace

std::string checkpoint_name(std::int64_t step) {
  return std::string(kPrefix) + std::to_string(step);
}

std::optional<std::int64_t> checkpoint_step(const std::string& name) {
  std::int64_t step = 0;
  if (!name.starts_with(kPrefix)) return {};
  const auto* begin = name.data() + kPrefix.size();
  const auto* end = name.data() + name.size();
  const auto result = std::from_chars(begin, end, step);
  if (result.ec != std::errc() || result.ptr != end || step < 0 || checkpoint_name(step) != name) {
    return {};
  }
  return step;
}

std::string partial_name(std::int64_t step) {
  return "." + checkpoint_name(step) + std::string(kPartial);
}

std::string deleted_name(std::int64_t step) {
  return "." + checkpoint_name(step) + std::string(kDeleted);
}

bool is_leftover(const std::string& name) {
  for (const auto suffix : {kReplaced, kPartial, kDeleted}) {
    if (name.size() > suffix.size() + 1 && name.front() == '.' && name.ends_with(suffix)) {
      return checkpoint_step(name.substr(1, name.size() - suffix.size() - 1)).has_value();
    }
  }
  return false;
}

}  // namespace zt::checkpoint
