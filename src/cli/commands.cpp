#include "cli/commands.h"

namespace zt::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> kCommands = {
      {"train", "trains a model: zt train <Hugging Face flags>", run_train},
      {"launch", "starts the ranks of a program: zt launch --nproc 2 -- zt train ...", run_launch},
      {"plan", "what each ZeRO stage, offload and recompute mode needs, and which to take",
       run_plan},
      {"bench",
       "speed of training on random tokens: zt bench --model SHAPE --nproc N [flags of train]",
       run_bench},
      {"data", "tokenize a text file: zt data tokenize --tokenizer DIR FILE", run_data},
      {"ckpt", "inspect, verify, diff, convert and merge checkpoints", run_ckpt},
      {"doctor", "what this machine offers to training: GPUs, links, memory, disk, network",
       run_doctor},
      {"version", "versions of zerotrain and of what it is built with", run_version},
      {"help", "this list, or the flags of a command", run_help},
  };
  return kCommands;
}

}  // namespace zt::cli
