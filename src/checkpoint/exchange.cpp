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

/// The store refuses values of 8 MiB and closes the connection: TCPStoreLibUvBackend.cpp.
constexpr std::size_t kLargestValue = 1 << 20;

/// State of one exchange over the store: rank 0 collects and spreads.
struct StoreExchange {
  std::unique_ptr<comm::Store> store;
  int rank, world;
  std::string name;
  std::chrono::milliseconds timeout;
  std::int64_t round = 0;
  std::vector<std::string> spread;  ///< rank 0: keys of the round before, which all have read

  std::vector<std::string> gather(const std::string& text) {
    const auto prefix = fmt::format("checkpoint/{}/{}/", name, round++);
    if (rank != 0) {
      put(prefix + std::to_string(rank), text);
      return split(take(prefix + "all"));
    }
    std::vector<std::string> texts{text};
    for (int r = 1; r < world; ++r) {
      std::vector<std::string> keys;
      texts.push_back(take(prefix + std::to_string(r), &keys));
      clear(keys);
    }
    clear(spread);
    spread = world > 1 ? put(prefix + "all", join(texts)) : std::vector<std::string>{};
    return texts;
  }

  /// As parts; the first one, under the key itself and set last, has their number in front.
  /// Returns the keys.
  std::vector<std::string> put(const std::string& key, const std::string& text) {
    std::vector<std::string> keys{key};
    for (auto at = kLargestValue; at < text.size(); at += kLargestValue) {
      keys.push_back(fmt::format("{}/{}", key, keys.size()));
      store->set(keys.back(), text.substr(at, kLargestValue));
    }
    store->set(key, fmt::format("{}:{}", keys.size(), text.substr(0, kLargestValue)));
    return keys;
  }

  std::string take(const std::string& key, std::vector<std::string>* keys = nullptr) {
    auto text = store->get(key, timeout);
    const auto colon = text.find(':');
    ZT_ASSERT(colon != std::string::npos, "text of a rank");
    const auto parts = std::stoull(text.substr(0, colon));
    text.erase(0, colon + 1);
    if (keys != nullptr) keys->push_back(key);
    for (std::size_t part = 1; part < parts; ++part) {
      const auto of_part = fmt::format("{}/{}", key, part);
      text += store->get(of_part, timeout);
      if (keys != nullptr) keys->push_back(of_part);
    }
    return text;
  }

  /// The store keeps keys: at least not their text.
  void clear(const std::vector<std::string>& keys) {
    for (const auto& key : keys) store->set(key, "");
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
      StoreExchange{store.clone(), rank, world, std::move(name), timeout, 0, {}});
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
