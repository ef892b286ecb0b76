#include "train/same_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"
#include "checkpoint/file_io.h"
#include "config/fields.h"

namespace zt::train {
namespace {

/// Texts that are no paths.
constexpr std::array<std::string_view, 4> kCompared = {"checkpoint.resume_from", "checkpoint.tag",
                                                       "checkpoint.metric_for_best_model",
                                                       "shape.model_type"};
/// Values that a machine may have of its own.
constexpr std::array<std::string_view, 15> kOwn = {"data.overwrite_cache",
                                                   "data.preprocessing_num_workers",
                                                   "zero.pin_memory",
                                                   "zero.aio_block_size",
                                                   "zero.aio_queue_depth",
                                                   "zero.aio_threads",
                                                   "zero.aio_single_submit",
                                                   "zero.aio_overlap_events",
                                                   "run.overwrite_output_dir",
                                                   "run.disable_tqdm",
                                                   "run.hang_timeout_seconds",
                                                   "launch.nproc",
                                                   "launch.use_cpu",
                                                   "launch.gpu_memory",
                                                   "checkpoint.max_train_seconds"};
constexpr std::size_t kShown = 80;  ///< longer values are not shown

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string describe(const RunFacts& facts, const std::string& name) {
  const auto found = facts.find(name);
  if (found == facts.end()) return "nothing";
  return found->second.size() > kShown ? "another" : "'" + found->second + "'";
}

/// One line for each fact that differs.
std::string differences(const RunFacts& got, const RunFacts& expected) {
  auto all = expected;
  all.insert(got.begin(), got.end());
  std::string lines;
  for (const auto& [name, value] : all) {
    const auto mine = got.find(name), other = expected.find(name);
    if (mine != got.end() && other != expected.end() && mine->second == other->second) continue;
    lines += fmt::format("\n  {}: got {}, rank 0 has {}", name, describe(got, name),
                         describe(expected, name));
  }
  return lines;
}

}  // namespace

RunFacts facts_of(const config::Config& config) {
  RunFacts facts;
  for (const auto& field : config::fields()) {
    const bool path = field.type == config::FieldType::text && !contains(kCompared, field.path);
    if (!path && !contains(kOwn, field.path)) facts[field.path] = field.get(config);
  }
  return facts;
}

RunFacts facts_of(const data::Datasets& sets) {
  RunFacts facts{{"tokens of a block", std::to_string(sets.block_size)}};
  for (const auto& [name, set] : {std::pair{"training", &sets.train}, {"evaluation", &sets.eval}}) {
    if (!*set) continue;
    facts[fmt::format("blocks of the {} data", name)] = std::to_string((*set)->size());
    facts[fmt::format("checksum of the {} data's tokens", name)] =
        fmt::format("{:016x}", (*set)->checksum());
  }
  return facts;
}

void require_same(const RunFacts& mine, const checkpoint::RankExchange& exchange) {
  const auto text = nlohmann::json(mine).dump();
  const auto hashes = exchange.gather_text(fmt::format("{:016x}", checkpoint::hash_text(text)));
  const auto other = std::find_if(hashes.begin(), hashes.end(),
                                  [&](const std::string& hash) { return hash != hashes.front(); });
  if (other == hashes.end()) return;
  const auto texts = exchange.gather_text(text);
  const auto rank = static_cast<std::size_t>(other - hashes.begin());
  const auto facts = [&](std::size_t of) {
    return nlohmann::json::parse(texts.at(of)).get<RunFacts>();
  };
  throw ConfigError(fmt::format(
      "[train.ranks] rank {} was started in another way than rank 0:{}\n  Start all ranks with the "
      "same flags, files and variables.",
      rank, differences(facts(rank), facts(0))));
}

}  // namespace zt::train
