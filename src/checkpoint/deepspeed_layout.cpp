#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "base/units.h"
#include "checkpoint/deepspeed_parts.h"
#include "model/family.h"

namespace zt::checkpoint {
namespace {

/// Names that are not in `parts` keep the order in which the model declares them, behind these.
using Parts = std::span<const std::string_view>;

std::size_t rank_of(std::string_view part, Parts parts) {
  return static_cast<std::size_t>(std::find(parts.begin(), parts.end(), part) - parts.begin());
}

bool is_number(std::string_view part) {
  return !part.empty() &&
         std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// The next part of a dotted name.
std::string_view take_part(std::string_view& name) {
  const auto dot = std::min(name.find('.'), name.size());
  const auto part = name.substr(0, dot);
  name.remove_prefix(std::min(dot + 1, name.size()));
  return part;
}

bool registered_before(std::string_view a, std::string_view b, Parts parts) {
  while (!a.empty() && !b.empty()) {
    const auto left = take_part(a), right = take_part(b);
    if (left == right) continue;
    if (is_number(left) && is_number(right)) {
      return left.size() != right.size() ? left.size() < right.size() : left < right;
    }
    return rank_of(left, parts) < rank_of(right, parts);
  }
  return false;
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Stages 1 and 2: the group's elements in a row, zeros up to a multiple of 2 x world, cut evenly.
FlatPart flat_part(const DeepSpeedGroup& group, std::size_t index, int world, int rank) {
  std::int64_t total = 0;
  for (const auto* param : group.params) total += param->numel().value;
  const auto part = round_up(total, 2 * std::int64_t{world}) / world;
  const auto first = rank * part, last = first + part;
  FlatPart result{.group = index};
  result.params = group.params;
  std::int64_t at = 0;
  for (const auto* param : group.params) {
    const auto end = at + param->numel().value;
    const auto begin = std::max(at, first), stop = std::min(end, last);
    if (begin < stop) result.runs.push_back({param, begin - at, stop - begin});
    at = end;
  }
  result.padding = std::clamp<std::int64_t>(last - total, 0, part);
  if (result.padding > 0) result.runs.push_back({nullptr, 0, result.padding});
  return result;
}

/// Stage 3: ceil(numel / world) elements of every parameter, zeros behind the last rank's.
void add_param_part(FlatPart& part, const layout::ParamSpec& param, int world, int rank) {
  const auto numel = param.numel().value;
  const auto share = ceil_div(numel, world);
  const auto begin = std::min(rank * share, numel);
  const auto length = std::min(share, numel - begin);
  if (length > 0) part.runs.push_back({&param, begin, length});
  if (length < share) part.runs.push_back({nullptr, 0, share - length});
  part.params.push_back(&param);
}

void add_sub_groups(std::vector<FlatPart>& parts, const DeepSpeedGroup& group, std::size_t index,
                    const DeepSpeedSave& save, int rank) {
  FlatPart part{.group = index};
  std::int64_t filled = 0;
  for (const auto* param : group.params) {
    add_param_part(part, *param, save.world, rank);
    filled += ceil_div(param->numel().value, save.world);
    if (filled < save.sub_group_size && param != group.params.back()) continue;
    parts.push_back(std::exchange(part, FlatPart{.group = index}));
    filled = 0;
  }
}

}  // namespace

std::int64_t FlatPart::length() const {
  std::int64_t result = 0;
  for (const auto& run : runs) result += run.length;
  return result;
}

std::vector<DeepSpeedGroup> deepspeed_groups(const std::vector<layout::ParamSpec>& params,
                                             const DeepSpeedSave& save) {
  std::vector<const layout::ParamSpec*> order;
  for (const auto& param : params) order.push_back(&param);
  const auto parts = model::registered_parts(params);
  std::stable_sort(order.begin(), order.end(), [parts](const auto* a, const auto* b) {
    return registered_before(a->name, b->name, parts);
  });
  if (save.adam.one_group) return {{order, save.adam.weight_decay}};
  std::vector<DeepSpeedGroup> groups{{{}, save.adam.weight_decay}, {{}, 0.0}};
  for (const auto* param : order) groups[param->decay ? 0 : 1].params.push_back(param);
  std::erase_if(groups, [](const DeepSpeedGroup& group) { return group.params.empty(); });
  return groups;
}

std::vector<FlatPart> flat_parts(const std::vector<DeepSpeedGroup>& groups,
                                 const DeepSpeedSave& save, int rank) {
  std::vector<FlatPart> parts;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (save.layout == DeepSpeedLayout::stage3) {
      add_sub_groups(parts, groups[i], i, save, rank);
    } else {
      parts.push_back(flat_part(groups[i], i, save.world, rank));
    }
  }
  return parts;
}

}  // namespace zt::checkpoint
