#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "testing/collective_checks.h"
#include "testing/rank_launcher.h"

namespace zt {
namespace {

/// Counts device files: asking CUDA would initialise it before the ranks are forked.
int num_gpus() {
  int count = 0;
  while (std::filesystem::exists("/dev/nvidia" + std::to_string(count))) {
    ++count;
  }
  return count;
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
