// What ranks tell each other about a checkpoint goes through the store of the run, whose limits it
// keeps.
#include "checkpoint/exchange.h"

#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "comm/inproc/memory_store.h"

namespace zt::checkpoint {
namespace {

/// What is in a store, and what it refuses.
struct Watched {
  static constexpr std::size_t kRefused = 8 << 20;  ///< c10d's TCPStore drops the connection
  std::mutex mutex;
  std::map<std::string, std::size_t> sizes;  ///< by key; guarded by mutex

  std::size_t bytes() {
    const std::lock_guard lock(mutex);
    std::size_t sum = 0;
    for (const auto& [key, size] : sizes) sum += size;
    return sum;
  }
};

class WatchedStore final : public comm::Store {
 public:
  WatchedStore(std::unique_ptr<comm::Store> inner, Watched& watched)
      : inner_(std::move(inner)), watched_(watched) {}

  void set(const std::string& key, const std::string& value) override {
    if (value.size() > Watched::kRefused) throw CommError("the store closed the connection");
    {
      const std::lock_guard lock(watched_.mutex);
      watched_.sizes[key] = value.size();
    }
    inner_->set(key, value);
  }
  std::optional<std::string> try_get(const std::string& key) override {
    return inner_->try_get(key);
  }
  std::string get(const std::string& key, std::chrono::milliseconds timeout) override {
    return inner_->get(key, timeout);
  }
  std::string set_once(const std::string& key, const std::string& value) override {
    return inner_->set_once(key, value);
  }
  std::int64_t add(const std::string& key, std::int64_t delta) override {
    return inner_->add(key, delta);
  }
  std::unique_ptr<comm::Store> clone() override {
    return std::make_unique<WatchedStore>(inner_->clone(), watched_);
  }

 private:
  std::unique_ptr<comm::Store> inner_;
  Watched& watched_;
};

TEST(ExchangeTest, TextsOfAnySizeReachEveryRankAndDoNotStayInTheStore) {
  constexpr int kWorld = 3;
  Watched watched;
  WatchedStore store(comm::make_memory_store(), watched);
  const auto text_of = [](int rank, int round) {
    const std::size_t sizes[] = {0, (1 << 20) + 1, 9 << 20};
    const auto size = sizes[(rank + round) % 3];
    return std::string(size, static_cast<char>('a' + rank)) + "12:34";
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kWorld; ++rank) {
    threads.emplace_back([&, rank] {
      const auto exchange =
          exchange_over_store(store, rank, kWorld, "test", std::chrono::seconds(20));
      for (int round = 0; round < 4; ++round) {
        const auto texts = exchange.gather_text(text_of(rank, round));
        ASSERT_EQ(texts.size(), 3U);
        for (int r = 0; r < kWorld; ++r) {
          EXPECT_TRUE(texts.at(static_cast<std::size_t>(r)) == text_of(r, round)) << r;
        }
      }
      (void)exchange.gather_text("");
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LT(watched.bytes(), 1000U);
}

}  // namespace
}  // namespace zt::checkpoint
