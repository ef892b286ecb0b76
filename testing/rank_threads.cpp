#include <gtest/gtest.h>

#include <thread>

#include "comm/inproc/inproc_communicator.h"
#include "testing/rank_launcher.h"

namespace zt::testing {

std::vector<RankResult> run_threads(int world, const std::function<void(comm::Communicator&)>& body,
                                    bool expect_success, std::chrono::milliseconds timeout) {
  const auto start = std::chrono::steady_clock::now();
  const auto ranks = comm::make_inproc(world, timeout);
  std::vector<RankResult> results(static_cast<std::size_t>(world));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      RankResult& result = results[static_cast<std::size_t>(rank)];
      comm::Communicator& comm = *ranks[static_cast<std::size_t>(rank)];
      result.rank = rank;
      try {
        body(comm);
        result.succeeded = true;
      } catch (const std::exception& error) {
        result.message = error.what();
        comm.abort(error.what());
      }
      result.seconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const RankResult& result : results) {
    if (expect_success && !result.succeeded) {
      ADD_FAILURE() << "rank " << result.rank << " of " << world << ": " << result.message;
    }
  }
  return results;
}

}  // namespace zt::testing
