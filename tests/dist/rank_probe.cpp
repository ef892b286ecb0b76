/// A rank as `zt` makes it, without training: meets the others, gathers, and leaves or fails as
/// told. usage: dist_rank_probe ok|throw|kill [nproc]; with nproc it launches that many ranks of
/// itself.

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "base/log.h"
#include "comm/rendezvous.h"
#include "config/env.h"
#include "launch/run_ranks.h"

namespace {

constexpr int kPeerFailed = 4;

zt::comm::RendezvousOptions rendezvous_options(const zt::config::RankEnvironment& env) {
  return {.rank = env.rank,
          .world = env.world_size,
          .local_rank = env.local_rank,
          .master_addr = env.master_addr,
          .master_port = env.master_port,
          .listen_fd = env.listen_fd,
          .use_agent_store = env.launcher_hosts_store,
          .run_id = std::to_string(env.restart_count)};
}

void gather(zt::comm::Communicator& comm) {
  std::int32_t mine = comm.rank();
  std::vector<std::int32_t> all(static_cast<std::size_t>(comm.world()));
  comm.all_gather({&mine, 1, zt::DType::i32}, {all.data(), comm.world(), zt::DType::i32}, {});
  std::string text;
  for (const std::int32_t rank : all) {
    text += " " + std::to_string(rank);
  }
  std::printf("rank %d of %d gathered%s\n", comm.rank(), comm.world(), text.c_str());
  std::fflush(stdout);
}

int run_rank(const zt::config::RankEnvironment& env, const std::string& mode) {
  const auto group = zt::comm::rendezvous(rendezvous_options(env), zt::Device::cpu);
  gather(group->communicator());
  if (mode == "kill" && env.rank == 1) {
    std::raise(SIGKILL);
  }
  try {
    if (mode == "throw" && env.rank == 1) {
      throw zt::FileError("[probe.read] shard 7 is damaged");
    }
    group->communicator().barrier();
  } catch (const zt::CommError&) {
    throw;
  } catch (const zt::Error& error) {
    group->report_failure(error.what());
    throw;
  }
  group->leave();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "ok";
  const auto env = zt::config::rank_environment(zt::config::read_environment());
  zt::log::init(env ? env->rank : 0, zt::log::Level::info);
  if (!env) {
    return zt::launch::run_ranks({.nproc = argc > 2 ? std::stoi(argv[2]) : 2, .arguments = {mode}});
  }
  try {
    return run_rank(*env, mode);
  } catch (const zt::CommError& error) {
    zt::log::error("probe", error.what());
    return kPeerFailed;
  } catch (const zt::Error& error) {
    zt::log::error("probe", error.what());
    return 3;
  }
}
