#include "checkpoint/exchange.h"

#include <fmt/format.h>

#include <exception>
#include <memory>

#include "base/error.h"

namespace zt::checkpoint {
namespace {

/// Texts of all ranks as one: each with its length in front.
std::string join(const std::vector<std::string>& texts) {
  std::string all;
  for (const auto& text : texts) all += std::to_string(text.size()) + ":" + text;
  return all;
}

std::vector<std::string> split(const std::string& all) {
  std::vector<std::string> texts;
  std::size_t at = 0;
  while (at < all.size()) {
    const auto colon = all.find(':', at);
    ZT_ASSERT(colon != std::string::npos, "texts of the ranks");
    const auto size = std::stoull(all.substr(at, colon - at));
    texts.push_back(all.substr(colon + 1, size));
    at = colon + 1 + size;
  }
  return texts;
}

/// State of one exchange over the store: rank 0 collects and spreads.
struct StoreExchange {
  std::unique_ptr<comm::Store> store;
  int rank, world;
  std::string name;
  std::chrono::milliseconds timeout;
  std::int64_t round = 0;

  std::vector<std::string> gather(const std::string& text) {
    const auto prefix = fmt::format("checkpoint/{}/{}/", name, round++);
    if (rank != 0) {
      store->set(prefix + std::to_string(rank), text);
      return split(store->get(prefix + "all", timeout));
    }
    std::vector<std::string> texts{text};
    for (int r = 1; r < world; ++r) {
      texts.push_back(store->get(prefix + std::to_string(r), timeout));
      store->set(prefix + std::to_string(r), "");  // the store keeps keys: at least not their text
    }
    store->set(prefix + "all", join(texts));
    return texts;
  }
};

}  // namespace

RankExchange exchange_alone() {
  return {0, 1, [](const std::string& text) { return std::vector<std::string>{text}; }};
}

RankExchange exchange_over_store(comm::Store& store, int rank, int world, std::string name,
                                 std::chrono::milliseconds timeout) {
  // Shared by the copies of the function object.
  const auto state = std::make_shared<StoreExchange>(
      StoreExchange{store.clone(), rank, world, std::move(name), timeout});
  return {rank, world, [state](const std::string& text) { return state->gather(text); }};
}

void all_or_none(const RankExchange& exchange, const std::function<void()>& work) {
  std::string failure;
  try {
    work();
  } catch (const std::exception& error) {
    failure = *error.what() == '\0' ? "unknown error" : error.what();
  }
  const auto failures = exchange.gather_text(failure);
  for (std::size_t rank = 0; rank < failures.size(); ++rank) {
    if (failures[rank].empty()) continue;
    throw CheckpointError(exchange.world == 1 ? failures[rank]
                                              : fmt::format("{} (rank {})", failures[rank], rank));
  }
}

}  // namespace zt::checkpoint
