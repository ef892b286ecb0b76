#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace zt::memory {

/// Which operations of a list are complete, and the first failure. Shared by all queues of a rank.
class Progress {
 public:
  void begin(int count);
  void complete(int index);
  void fail(std::exception_ptr error);
  /// Blocks until `index` is complete. Errors: rethrows the first failure.
  void wait(int index);
  /// Blocks until all operations that were submitted are complete. Errors: rethrows the first
  /// failure.
  void wait_all(int submitted);
  void throw_if_failed();

 private:
  std::mutex mutex_;  ///< guards everything below
  std::condition_variable changed_;
  std::vector<char> done_;
  int num_done_ = 0;
  std::exception_ptr error_;
};

/// One thread that runs jobs in order.
class Worker {
 public:
  explicit Worker(std::string name);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  void post(std::function<void()> job);

 private:
  void run();

  std::string name_;
  std::mutex mutex_;  ///< guards jobs_ and stop_
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace zt::memory
