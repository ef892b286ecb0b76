#include "layout/layout.h"

#include <algorithm>
#include <utility>

namespace zt::layout {

Numel ParamSpec::numel() const {
  std::int64_t count = 1;
  for (const auto size : shape) count *= size;
  return {count};
}

UnitLayout::UnitLayout(const std::vector<ParamSpec>& params, UnitSpec unit, int world)
    : unit_(std::move(unit)), world_(world) {
  if (world < 1) {
    throw ConfigError("[layout.unit] world size: got " + std::to_string(world) +
                      ", expected >= 1.");
  }
  ZT_ASSERT(!unit_.params.empty(), "unit '" + unit_.name + "' has no parameters");
  keep_fp32_ = params.at(static_cast<std::size_t>(unit_.params.front().value)).keep_fp32;
  std::int64_t end = 0;
  for (const auto id : unit_.params) {
    const auto& param = params.at(static_cast<std::size_t>(id.value));
    const auto count = param.numel();
    ZT_ASSERT(count.value > 0, "parameter '" + param.name + "' is empty");
    ZT_ASSERT(param.keep_fp32 == keep_fp32_, "unit '" + unit_.name + "' mixes dtypes");
    const auto begin = param.adjacent ? end : round_up(end, kAlignment);
    offsets_.push_back({begin});
    numels_.push_back(count);
    used_ += count;
    end = begin + count.value;
  }
  padded_ = {round_up(end, kAlignment * world)};
}

std::vector<ParamSlice> UnitLayout::slices(int rank) const {
  std::vector<ParamSlice> result;
  const auto begin = shard_begin(rank).value;
  const auto end = begin + shard().value;
  for (std::size_t i = 0; i < offsets_.size(); ++i) {
    const auto first = std::max(begin, offsets_[i].value);
    const auto last = std::min(end, offsets_[i].value + numels_[i].value);
    if (first < last) {
      result.push_back(
          {unit_.params[i], first - offsets_[i].value, {first - begin}, {last - first}});
    }
  }
  return result;
}

std::vector<BucketSlice> UnitLayout::buckets(Numel max_elements) const {
  const auto most = std::max(kAlignment, max_elements.value / world_ / kAlignment * kAlignment);
  const auto count = (shard().value + most - 1) / most;
  const auto even = round_up((shard().value + count - 1) / count, kAlignment);
  std::vector<BucketSlice> result;
  for (std::int64_t begin = 0; begin < shard().value; begin += even) {
    result.push_back({{begin}, {std::min(even, shard().value - begin)}});
  }
  return result;
}

ModelLayout ModelLayout::make(std::vector<ParamSpec> params, std::vector<UnitSpec> units,
                              int world) {
  ModelLayout result;
  result.unit_of.assign(params.size(), UnitId{});
  result.index_in_unit.assign(params.size(), 0);
  for (std::size_t u = 0; u < units.size(); ++u) {
    for (std::size_t i = 0; i < units[u].params.size(); ++i) {
      const auto p = static_cast<std::size_t>(units[u].params[i].value);
      ZT_ASSERT(p < params.size() && result.unit_of[p].value < 0,
                "unit '" + units[u].name + "' names a parameter twice or one that does not exist");
      result.unit_of[p] = {static_cast<int>(u)};
      result.index_in_unit[p] = i;
    }
    result.units.emplace_back(params, units[u], world);
  }
  for (std::size_t p = 0; p < params.size(); ++p) {
    ZT_ASSERT(result.unit_of[p].value >= 0, "parameter '" + params[p].name + "' is in no unit");
  }
  result.params = std::move(params);
  return result;
}

Numel ModelLayout::num_params() const {
  Numel total;
  for (const auto& param : params) total += param.numel();
  return total;
}

}  // namespace zt::layout
