#pragma once

#include "comm/rendezvous.h"
#include "config/config.h"
#include "data/dataset.h"
#include "data/tokenizer.h"

namespace zt::train {

/// Which rank of which machine prepares the data.
struct DataRank {
  int rank = 0;
  int local_rank = 0;
};

/// Opens the data of a run. `name`: different for each call of a run. The first rank of each
/// machine tokenises what is not cached, before any collective; the others wait for it in the
/// store, with a line in the log now and then, and map the result. Errors: FileError and
/// ConfigError of the data; CommError when the preparing rank fails.
[[nodiscard]] data::Datasets prepare_data(const config::Config& config,
                                          const data::Tokenizer& tokenizer, comm::RankGroup& group,
                                          const DataRank& rank, const char* name);

/// The folder of the token cache: --cache_dir, or `cache` in the output folder.
[[nodiscard]] std::string cache_folder(const config::Config& config);

}  // namespace zt::train
