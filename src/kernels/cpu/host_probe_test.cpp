#include "kernels/cpu/host_probe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <ctime>
#include <string>
#include <vector>

#include "kernels/cpu/host_rates.h"

namespace zt::kernels::cpu {
namespace {

TEST(HostProbeTest, MeasuresRatesOfThisHostInShortTime) {
  memory::HostPool pool(memory::host_topology(), 2);
  const std::clock_t begin = std::clock();
  const HostProbe probe = probe_host(pool);
  const double processor_seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  EXPECT_GT(probe.read_modify_write_gb_per_s, 0.1);
  EXPECT_GT(probe.copy_gb_per_s, 0.1);
  EXPECT_LT(probe.read_modify_write_gb_per_s, 10'000);
  EXPECT_EQ(probe.threads, pool.num_threads());
  EXPECT_FALSE(probe.simd.empty());
  // 0.3 s on an idle machine; other programs lengthen the wall time, not this.
  EXPECT_LT(processor_seconds, 5.0);
  EXPECT_NEAR(probe.seconds_per_parameter(30) * probe.read_modify_write_gb_per_s, 30e-9, 1e-12);
}

TEST(HostProbeTest, NamesTooFewThreadsAndATightQuota) {
  auto host = memory::host_topology();
  for (int core = 0; core < 8; ++core) host.nodes[0].cores.push_back(host.nodes[0].cores[0]);
  host.quota = 1.5;
  memory::HostPool pool(host, 1);
  const HostProbe probe = probe_host(pool);
  std::string all;
  for (const auto& verdict : probe.verdicts) all += verdict + "\n";
  EXPECT_NE(all.find("the cgroup grants 1.5 of"), std::string::npos) << all;
  EXPECT_NE(all.find("1 threads work on host memory"), std::string::npos) << all;
}

TEST(HostRatesTest, TheLoopsDoWhatTheyClaim) {
  memory::HostPool pool(memory::host_topology(), 2);
  std::vector<float> values(200'001, 2.0F);
  std::vector<float> copied(values.size());
  const View view{values.data(), static_cast<std::int64_t>(values.size()), DType::f32};
  read_modify_write(view, pool);
  copy_parallel(view, {copied.data(), view.numel, DType::f32}, pool);
  EXPECT_EQ(copied, std::vector<float>(values.size(), 2.0F * 0.999F + 0.001F));
}

}  // namespace
}  // namespace zt::kernels::cpu
