#include "memory/host_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace zt::memory {

/// One call of `run`. Every node has its own part of the chunks and its own counter.
struct HostPool::Job {
  struct alignas(128) Part {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };
  const std::function<void(std::int64_t)>* body = nullptr;
  std::vector<Part> parts;
  std::atomic<bool> failed{false};
  int working = 0;           ///< threads that have not finished; guarded by the pool's mutex
  std::exception_ptr error;  ///< the first failure; guarded by the pool's mutex
};

namespace {

void bind_this_thread(const std::vector<int>& cpus) {
  if (cpus.empty()) return;
  const auto count = static_cast<std::size_t>(*std::max_element(cpus.begin(), cpus.end())) + 1;
  cpu_set_t* mask = CPU_ALLOC(count);
  if (mask == nullptr) return;
  const std::size_t size = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(size, mask);
  for (const int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), size, mask);
  // A refusal (a cpuset that changed meanwhile) costs speed, never correctness.
  (void)sched_setaffinity(0, size, mask);
  CPU_FREE(mask);
}

}  // namespace

int default_host_threads(const HostTopology& share) {
  int threads = share.threads > 0 ? share.threads : share.num_cores();
  if (share.quota > 0) threads = std::min(threads, static_cast<int>(std::ceil(share.quota)));
  return std::max(1, threads);
}

HostPool::HostPool(HostTopology share, int threads) : share_(std::move(share)) {
  const int cores = share_.num_cores();
  if (threads <= 0) threads = default_host_threads(share_);
  // Threads go to nodes in proportion to cores: the t-th of n threads to core t * cores / n.
  threads_of_node_.assign(share_.nodes.size(), 0);
  std::vector<std::size_t> node_of_thread;
  for (int t = 0; t < threads; ++t) {
    auto core = static_cast<std::int64_t>(t) * cores / threads;
    std::size_t node = 0;
    while (core >= static_cast<std::int64_t>(share_.nodes[node].cores.size())) {
      core -= static_cast<std::int64_t>(share_.nodes[node].cores.size());
      ++node;
    }
    ++threads_of_node_[node];
    node_of_thread.push_back(node);
  }
  for (const auto node : node_of_thread) {
    threads_.emplace_back([this, node] { work(node, share_.nodes[node].cpus); });
  }
}

HostPool::~HostPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void HostPool::run(std::int64_t chunks, const std::function<void(std::int64_t)>& body) {
  if (chunks <= 0) return;
  if (chunks == 1) return body(0);  // waking threads would cost more than it brings
  const std::lock_guard only_one(caller_);
  auto job = std::make_unique<Job>();
  job->body = &body;
  job->parts = std::vector<Job::Part>(threads_of_node_.size());
  std::int64_t before = 0;
  for (std::size_t node = 0; node < job->parts.size(); ++node) {
    job->parts[node].next = chunks * before / num_threads();
    before += threads_of_node_[node];
    job->parts[node].end = chunks * before / num_threads();
  }
  std::unique_lock lock(mutex_);
  job->working = num_threads();
  job_ = std::move(job);
  ++generation_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return job_->working == 0; });
  const auto done = std::move(job_);
  if (done->error) std::rethrow_exception(done->error);
}

void HostPool::touch(void* base, Bytes size) {
  constexpr std::int64_t kPage = 4096;
  constexpr std::int64_t kChunk = 2 << 20;
  auto* bytes = static_cast<volatile char*>(base);
  run((size.value + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    const std::int64_t end = std::min(size.value, (chunk + 1) * kChunk);
    for (std::int64_t at = chunk * kChunk; at < end; at += kPage) bytes[at] = bytes[at];
  });
}

void HostPool::work(std::size_t node, const std::vector<int>& cpus) {
  pthread_setname_np(pthread_self(), "zt-pool");
  bind_this_thread(cpus);
  std::uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || generation_ != seen; });
    if (stop_) return;
    seen = generation_;
    Job& job = *job_;
    lock.unlock();
    take_chunks(node, job);
    lock.lock();
    if (--job.working == 0) changed_.notify_all();
  }
}

void HostPool::take_chunks(std::size_t node, Job& job) {
  try {
    for (std::size_t turn = 0; turn < job.parts.size(); ++turn) {
      auto& part = job.parts[(node + turn) % job.parts.size()];
      while (!job.failed.load(std::memory_order_relaxed)) {
        const std::int64_t chunk = part.next.fetch_add(1, std::memory_order_relaxed);
        if (chunk >= part.end) break;
        (*job.body)(chunk);
      }
    }
  } catch (...) {
    job.failed = true;
    const std::lock_guard lock(mutex_);
    if (!job.error) job.error = std::current_exception();
  }
}

}  // namespace zt::memory
