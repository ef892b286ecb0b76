#include "memory/worker.h"

#include <pthread.h>

#include <utility>

namespace zt::memory {

void Progress::begin(int count) {
  const std::lock_guard lock(mutex_);
  done_.assign(static_cast<std::size_t>(count), 0);
  num_done_ = 0;
}

void Progress::complete(int index) {
  {
    const std::lock_guard lock(mutex_);
    done_[static_cast<std::size_t>(index)] = 1;
    ++num_done_;
  }
  changed_.notify_all();
}

void Progress::fail(std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  changed_.notify_all();
}

void Progress::wait(int index) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return error_ || done_[static_cast<std::size_t>(index)] != 0; });
  if (error_) std::rethrow_exception(error_);
}

void Progress::wait_all(int submitted) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return error_ || num_done_ >= submitted; });
  if (error_) std::rethrow_exception(error_);
}

void Progress::throw_if_failed() {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

Worker::Worker(std::string name) : name_(std::move(name)), thread_([this] { run(); }) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Worker::post(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

void Worker::run() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  for (;;) {
    std::function<void()> job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace zt::memory
