#include "train/prepare_data.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/log.h"

namespace zt::train {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(100);
constexpr auto kSayEvery = std::chrono::seconds(30);

/// Waits without a limit of its own: a preparing rank that ends or hangs is noticed by the group.
void wait_for_cache(comm::RankGroup& group, const std::string& key, int preparing_rank) {
  const auto begun = std::chrono::steady_clock::now();
  auto say = begun + kSayEvery;
  while (!group.store().try_get(key)) {
    if (const auto failure = group.first_failure()) {
      throw CommError(fmt::format("[train.data] rank {} prepares the data, but {}", preparing_rank,
                                  comm::describe(*failure)));
    }
    const auto now = std::chrono::steady_clock::now();
    if (now >= say) {
      const auto waited = std::chrono::duration_cast<std::chrono::seconds>(now - begun).count();
      log::warning("train", fmt::format("waiting for rank {} to tokenise the data ({} s)",
                                        preparing_rank, waited));
      say += kSayEvery;
    }
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace

std::string cache_folder(const config::Config& config) {
  return config.data.cache_dir.empty() ? config.run.output_dir + "/cache" : config.data.cache_dir;
}

data::Datasets prepare_data(const config::Config& config, const data::Tokenizer& tokenizer,
                            comm::RankGroup& group, const DataRank& rank, const char* name) {
  data::DatasetRequest request;
  request.cache_dir = cache_folder(config);
  request.tokenizer = &tokenizer;
  request.want_train = config.run.do_train;
  request.want_eval = config.run.do_eval;
  request.may_build = rank.local_rank == 0;
  const int preparing_rank = rank.rank - rank.local_rank;
  const std::string key = fmt::format("token_cache/{}/{}", name, preparing_rank);
  if (!request.may_build) wait_for_cache(group, key, preparing_rank);
  auto datasets = data::open_datasets(config.data, request);
  if (request.may_build) group.store().set(key, "ready");
  return datasets;
}

}  // namespace zt::train
