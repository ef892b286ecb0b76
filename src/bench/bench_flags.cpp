#include "bench/bench_flags.h"

#include <algorithm>

#include "base/error.h"
#include "config/problems.h"
#include "config/text_values.h"

namespace zt::bench {
namespace {

constexpr const char* kCommandLine = "command line";

class Splitter {
 public:
  explicit Splitter(const std::vector<std::string>& args) : args_(args) {}

  BenchFlags split() {
    while (at_ < args_.size()) {
      const auto& arg = args_[at_++];
      const auto equals = arg.find('=');
      auto name = arg.substr(0, equals);
      std::replace(name.begin() + std::min<std::ptrdiff_t>(2, std::ssize(name)), name.end(), '-',
                   '_');
      given_ = equals == std::string::npos ? std::nullopt
                                           : std::optional<std::string>(arg.substr(equals + 1));
      if (!take(name)) flags_.rest.push_back(arg);
    }
    if (flags_.model.empty() && flags_.calibrate.empty() && !flags_.help) {
      problems_.add(kCommandLine, "--model is missing",
                    "Give a folder with config.json or a shape as Qwen3-0.6B");
    }
    problems_.throw_if_any();
    return flags_;
  }

 private:
  bool take(const std::string& name) {
    if (name == "--model" || name == "--model_name_or_path") {
      flags_.model = value(name);
    } else if (name == "--json") {
      flags_.json = value(name);
    } else if (name == "--trace") {
      flags_.trace = value(name);
    } else if (name == "--device_file") {
      flags_.device_file = value(name);
    } else if (name == "--calibrate") {
      flags_.calibrate = value(name);
    } else if (name == "--steps") {
      flags_.steps = number(name, 1, 100'000);
    } else if (name == "--warmup") {
      flags_.warmup = number(name, 0, 100'000);
    } else if (name == "--zero_stage") {
      flags_.zero_stage = number(name, 0, 3);
    } else if (name == "--ceiling") {
      flags_.ceiling = boolean(name);
    } else if (name == "--shares") {
      flags_.profile = boolean(name);
    } else if (name == "--help" || name == "-h") {
      flags_.help = true;
    } else {
      return false;
    }
    return true;
  }

  std::string value(const std::string& name) {
    std::string text;
    if (given_) {
      text = *given_;
    } else if (at_ < args_.size() && args_[at_].rfind("--", 0) != 0) {
      text = args_[at_++];
    }
    if (text.empty()) problems_.add(kCommandLine, name + " has no value", "Give one");
    return text;
  }

  int number(const std::string& name, int least, int most) {
    const auto text = value(name);
    const auto parsed = config::parse_integer(text);
    if (parsed && *parsed >= least && *parsed <= most) return static_cast<int>(*parsed);
    problems_.add(kCommandLine, name + ": got '" + config::shown(text) + "', expected " +
                                    std::to_string(least) + " to " + std::to_string(most));
    return least;
  }

  bool boolean(const std::string& name) {
    if (!given_ && (at_ == args_.size() || args_[at_].rfind("--", 0) == 0)) return true;
    const auto text = value(name);
    const auto parsed = config::parse_bool(text);
    if (!parsed) {
      problems_.add(kCommandLine,
                    name + ": got '" + config::shown(text) + "', expected true or false");
    }
    return parsed.value_or(false);
  }

  const std::vector<std::string>& args_;
  std::size_t at_ = 0;
  std::optional<std::string> given_;  ///< the part behind `=`
  BenchFlags flags_;
  config::Problems problems_{"bench.flags"};
};

}  // namespace

BenchFlags parse_bench_flags(const std::vector<std::string>& args) {
  return Splitter(args).split();
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
