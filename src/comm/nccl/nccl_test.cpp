#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "testing/collective_checks.h"
#include "testing/rank_launcher.h"

namespace zt {
namespace {

/// Asked in a process of its own: CUDA must not be initialised here before the ranks are forked.
int num_gpus() {
  const pid_t child = fork();
  if (child == 0) {
    int count = 0;
    _exit(cudaGetDeviceCount(&count) == cudaSuccess ? count : 0);
  }
  int status = 0;
  const bool ended = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
  return ended ? WEXITSTATUS(status) : 0;
}

/// A host buffer's copy on the device, written back on request.
class DeviceCopy {
 public:
  explicit DeviceCopy(const View& host) : host_(host) {
    EXPECT_EQ(cudaMalloc(&data_, bytes() + 1), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(data_, host.data, bytes(), cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~DeviceCopy() { cudaFree(data_); }
  DeviceCopy(const DeviceCopy&) = delete;
  DeviceCopy& operator=(const DeviceCopy&) = delete;

  [[nodiscard]] View view() const { return {data_, host_.numel, host_.dtype}; }
  void write_back() const {
    EXPECT_EQ(cudaMemcpy(host_.data, data_, bytes(), cudaMemcpyDeviceToHost), cudaSuccess);
  }

 private:
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(host_.bytes().value); }
  View host_;
  void* data_ = nullptr;
};

/// Lets the checks for host buffers run over a CUDA communicator.
class HostStaged final : public comm::Communicator {
 public:
  explicit HostStaged(comm::Communicator& inner) : inner_(inner) {}
  [[nodiscard]] int rank() const override { return inner_.rank(); }
  [[nodiscard]] int world() const override { return inner_.world(); }
  [[nodiscard]] Device device() const override { return Device::cpu; }
  void all_gather(const View& send, const View& recv, const Launch&) override {
    const DeviceCopy from(send), to(recv);
    inner_.all_gather(from.view(), to.view(), cuda_);
    to.write_back();
  }
  void all_to_all(const View& send, const View& recv, const Launch&) override {
    const DeviceCopy from(send), to(recv);
    inner_.all_to_all(from.view(), to.view(), cuda_);
    to.write_back();
  }
  void reduce_scatter_sum(const View& send, const View& recv, const Launch&) override {
    const DeviceCopy from(send), to(recv);
    inner_.reduce_scatter_sum(from.view(), to.view(), cuda_);
    to.write_back();
  }
  void broadcast(const View& data, int root, const Launch&) override {
    const DeviceCopy copy(data);
    inner_.broadcast(copy.view(), root, cuda_);
    copy.write_back();
  }
  void barrier() override { inner_.barrier(); }
  void abort(const std::string& reason) override { inner_.abort(reason); }

 private:
  comm::Communicator& inner_;
  const Launch cuda_{Device::cuda, nullptr};
};

class NcclWorlds : public ::testing::TestWithParam<int> {};

TEST_P(NcclWorlds, EveryCollectiveMovesEveryElement) {
  if (num_gpus() < GetParam()) {
    GTEST_SKIP() << "needs " << GetParam() << " GPUs, found " << num_gpus();
  }
  testing::run_processes(GetParam(),
                         [](comm::RankGroup& group) {
                           HostStaged staged(group.communicator());
                           testing::check_collectives(staged);
                         },
                         {.device = Device::cuda});
}

/// Shared memory with a sending half and a receiving half, and a stream.
class SharedHalves {
 public:
  SharedHalves(comm::Communicator& communicator, std::int64_t numel) : numel_(numel) {
    EXPECT_EQ(cudaMalloc(&data_, static_cast<std::size_t>(2 * numel) * sizeof(float)), cudaSuccess);
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    shared = communicator.share_memory({data_, 2 * numel, DType::f32});
  }
  ~SharedHalves() {
    cudaStreamDestroy(stream_);
    cudaFree(data_);
  }
  SharedHalves(const SharedHalves&) = delete;
  SharedHalves& operator=(const SharedHalves&) = delete;

  [[nodiscard]] View send() const { return {data_, numel_, DType::f32}; }
  [[nodiscard]] View recv() const {
    return {static_cast<float*>(data_) + numel_, numel_, DType::f32};
  }
  [[nodiscard]] Launch launch() const { return {Device::cuda, stream_}; }
  [[nodiscard]] cudaStream_t stream() const { return stream_; }
  void put(const View& view, const std::vector<float>& values) const {
    EXPECT_EQ(cudaMemcpyAsync(view.data, values.data(), values.size() * sizeof(float),
                              cudaMemcpyHostToDevice, stream_),
              cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  }
  [[nodiscard]] std::vector<float> get(const View& view) const {
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    std::vector<float> values(static_cast<std::size_t>(view.numel));
    EXPECT_EQ(
        cudaMemcpy(values.data(), view.data, values.size() * sizeof(float), cudaMemcpyDeviceToHost),
        cudaSuccess);
    return values;
  }

  bool shared = false;

 private:
  std::int64_t numel_;
  void* data_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

/// What rank `rank` sends as element `i` in round `round`.
float sent(int rank, int round, std::int64_t i) {
  return static_cast<float>(1000 * rank + 100 * round) + static_cast<float>(i % 89);
}

std::vector<float> all_sent(int rank, int round, std::int64_t numel) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < numel; ++i) values.push_back(sent(rank, round, i));
  return values;
}

/// A gather out of the first part of `send`, then an exchange, in one call.
void both_copies(comm::Communicator& communicator, const SharedHalves& halves) {
  const auto part = halves.send().numel / communicator.world();
  communicator.all_gather(halves.send().slice(0, part), halves.recv(), halves.launch());
  communicator.all_to_all(halves.recv(), halves.send(), halves.launch());
}

void check_copies(comm::Communicator& communicator) {
  constexpr std::int64_t kPart = 100'000;
  const int world = communicator.world(), rank = communicator.rank();
  const SharedHalves halves(communicator, kPart * world);
  if (!halves.shared) return;  // no peer access between these GPUs: NCCL's tests cover them
  both_copies(communicator, halves);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(halves.stream(), cudaStreamCaptureModeThreadLocal), cudaSuccess);
  both_copies(communicator, halves);
  ASSERT_EQ(cudaStreamEndCapture(halves.stream(), &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&replay, graph, 0), cudaSuccess);
  for (int round = 0; round < 20; ++round) {
    halves.put(halves.send(), all_sent(rank, round, kPart * world));
    halves.put(halves.recv(), std::vector<float>(static_cast<std::size_t>(kPart * world), -1));
    communicator.barrier();
    if (round % 2 == 0) {
      both_copies(communicator, halves);
    } else {
      ASSERT_EQ(cudaGraphLaunch(replay, halves.stream()), cudaSuccess);
    }
    const auto gathered = halves.get(halves.recv()), exchanged = halves.get(halves.send());
    for (int from = 0; from < world; ++from) {
      for (const std::int64_t i : {std::int64_t{0}, kPart / 3, kPart - 1}) {
        const auto at = static_cast<std::size_t>(from * kPart + i);
        ASSERT_EQ(gathered[at], sent(from, round, i)) << round;
        // Every rank had gathered the same, so each sends this rank part `rank` of it.
        ASSERT_EQ(exchanged[at], sent(rank, round, i)) << round;
      }
    }
    communicator.barrier();
  }
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
  communicator.unshare_memory();
}

TEST_P(NcclWorlds, CopiesIntoSharedMemoryMoveEveryElementAlsoInsideAGraph) {
  if (num_gpus() < GetParam()) {
    GTEST_SKIP() << "needs " << GetParam() << " GPUs, found " << num_gpus();
  }
  testing::run_processes(GetParam(),
                         [](comm::RankGroup& group) { check_copies(group.communicator()); },
                         {.device = Device::cuda});
}

TEST(NcclFailureTest, RankKilledBeforeACopyIsNamedByTheOther) {
  if (num_gpus() < 2) {
    GTEST_SKIP() << "needs 2 GPUs, found " << num_gpus();
  }
  const auto results = testing::run_processes(
      2,
      [](comm::RankGroup& group) {
        auto& communicator = group.communicator();
        const SharedHalves halves(communicator, 200'000);
        if (communicator.rank() == 1) raise(SIGKILL);
        both_copies(communicator, halves);
        cudaStreamSynchronize(halves.stream());  // ends because the abort lets the waits go
        communicator.barrier();
      },
      {.expect_success = false, .device = Device::cuda});
  EXPECT_NE(results[0].message.find("rank 1 failed first"), std::string::npos)
      << results[0].message;
  EXPECT_LT(results[0].seconds, 30);
}

TEST(NcclFailureTest, KilledRankIsNamedByTheOther) {
  if (num_gpus() < 2) {
    GTEST_SKIP() << "needs 2 GPUs, found " << num_gpus();
  }
  const auto results = testing::run_processes(2,
                                              [](comm::RankGroup& group) {
                                                group.communicator().barrier();
                                                if (group.communicator().rank() == 1) {
                                                  raise(SIGKILL);
                                                }
                                                group.communicator().barrier();
                                              },
                                              {.expect_success = false, .device = Device::cuda});
  EXPECT_NE(results[0].message.find("rank 1 failed first"), std::string::npos)
      << results[0].message;
  EXPECT_LT(results[0].seconds, 30);
}

INSTANTIATE_TEST_SUITE_P(Worlds, NcclWorlds, ::testing::Values(1, 2, 4));

}  // namespace
}  // namespace zt
