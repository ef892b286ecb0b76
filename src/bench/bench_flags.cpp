#include "bench/bench_flags.h"

#include "base/error.h"
#include "config/flag_splitter.h"

namespace zt::bench {
namespace {

constexpr const char* kCommandLine = "command line";

/// Takes one flag with its value, if it is one of ours.
bool take(config::FlagSplitter& splitter, BenchFlags& flags) {
  const std::string name = splitter.name();
  if (name == "--model" || name == "--model_name_or_path") {
    flags.model = splitter.value();
  } else if (name == "--json") {
    flags.json = splitter.value();
  } else if (name == "--trace") {
    flags.trace = splitter.value();
  } else if (name == "--device_file") {
    flags.device_file = splitter.value();
  } else if (name == "--calibrate") {
    flags.calibrate = splitter.value();
  } else if (name == "--steps") {
    flags.steps = splitter.number(1, 100'000);
  } else if (name == "--warmup") {
    flags.warmup = splitter.number(0, 100'000);
  } else if (name == "--zero_stage") {
    flags.zero_stage = splitter.number(0, 3);
  } else if (name == "--ceiling") {
    flags.ceiling = splitter.boolean();
  } else if (name == "--shares") {
    flags.profile = splitter.boolean();
  } else if (name == "--help" || name == "-h") {
    flags.help = true;
  } else {
    return false;
  }
  return true;
}

}  // namespace

BenchFlags parse_bench_flags(const std::vector<std::string>& args) {
  BenchFlags flags;
  config::Problems problems("bench.flags");
  config::FlagSplitter splitter(args, problems);
  while (splitter.next()) {
    if (!take(splitter, flags)) flags.rest.push_back(splitter.argument());
  }
  if (flags.model.empty() && flags.calibrate.empty() && !flags.help) {
    problems.add(kCommandLine, "--model is missing",
                 "Give a folder with config.json or a shape as Qwen3-0.6B");
  }
  problems.throw_if_any();
  return flags;
}

std::string bench_flags_help() {
  return "usage: zt bench --model FOLDER|SHAPE --nproc N [flags of zt train]\n"
         "\n"
         "Trains on random tokens and prints tokens/s per GPU, MFU, memory, and where the time "
         "goes.\n"
         "\n"
         "  --model FOLDER|SHAPE  folder with config.json, or a shape as Qwen3-0.6B\n"
         "  --zero_stage N        ZeRO stage (over the one of --deepspeed)\n"
         "  --steps N             measured steps (20)\n"
         "  --warmup N            steps before them (4)\n"
         "  --ceiling BOOL        also the step's GEMMs and attention alone, as one graph (true)\n"
         "  --shares BOOL         also a pass with every operation timed (true)\n"
         "  --json FILE           append the row as a JSON line\n"
         "  --trace FILE          write the timed pass as a Chrome trace\n"
         "  --device_file FILE    predict the step from this file, for comparison\n"
         "  --calibrate FILE      instead of a row: measure this kind of GPU and its link into "
         "FILE\n"
         "\n"
         "Of the flags of zt train these matter: --nproc, --use_cpu, --gpu_memory, --block_size,\n"
         "--per_device_train_batch_size, --gradient_accumulation_steps, --bf16, --deepspeed,\n"
         "--recompute, --reduce_at, --retain, --coalesce, --reduce, --deterministic, "
         "--cuda_graphs.\n";
}

}  // namespace zt::bench
