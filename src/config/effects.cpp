#include "config/tools.h"

namespace zt::config {

const std::vector<Effect>& effects() {
  static const std::vector<Effect> all = {
      {"zero.stage",
       "per parameter and rank of R: stage 1 holds 12/R bytes of optimizer state instead of 12, "
       "stage 2 also 1/R of the gradients, stage 3 also 1/R of the parameters",
       "stages 0 to 2 send each gradient once and each parameter once a step; stage 3 gathers "
       "parameters again in the backward pass unless they stay live"},
      {"zero.optimizer_place", "host: master weights and moments leave the device",
       "host: the update runs on the CPU, gradients and parameters cross the bus once a step"},
      {"zero.param_place", "host: parameter shards leave the device",
       "host: every gather begins with a copy over the bus"},
      {"zero.pin_memory", "page-locked host memory cannot be swapped out",
       "copies over the bus run at full speed and beside compute"},
      {"zero.reduce_bucket_size", "one send buffer of so many elements",
       "small buckets cost one collective each; large ones start later"},
      {"zero.allgather_bucket_size", "one buffer of so many elements at the update",
       "small buckets cost one collective each"},
      {"zero.overlap_comm",
       "units gathered ahead; where the plan has room, one more unit's gradient and wires",
       "communication runs beside compute; without it, after it"},
      {"zero.prefetch_bucket_size", "so many gathered elements ahead of their use",
       "gathers hide behind compute"},
      {"zero.max_live_parameters", "upper bound of gathered elements",
       "units that stay live are not gathered again"},
      {"zero.param_persistence_threshold", "parameters that are not larger stay gathered",
       "small parameters cost no gather"},
      {"zero.reduce_at", "boundary keeps whole fp32 gradients between micro-steps",
       "boundary reduces once a step, micro_step once per micro-step"},
      {"zero.retain_auto", "gathered units stay live where the plan has room",
       "fewer gathers per step"},
      {"zero.coalesce", "activations of k micro-batches at once", "larger matrix products"},
      {"zero.recompute", "full keeps one activation per block, selective what is cheap to store",
       "full runs the forward pass a second time, about a third more compute"},
      {"zero.reduce", "", "ordered sums in rank order: same bits everywhere, slower on some links"},
      {"zero.deterministic", "", "slower attention with documents and beyond 4096 tokens"},
      {"zero.cuda_graphs", "graphs hold their kernels' arguments",
       "no launch cost of single kernels"},
      {"precision.compute",
       "bf16 and fp16 halve parameters and activations; masters and moments stay fp32",
       "matrix products in 16 bits run on tensor cores"},
      {"precision.communication", "", "fp32 doubles the bytes of every reduction"},
      {"precision.grad_accum", "size of the gradient buffers", ""},
      {"run.per_device_train_batch_size", "activations grow in proportion",
       "larger matrix products use the device better"},
      {"run.per_device_eval_batch_size",
       "a forward's activations grow in proportion; they need room of their own only where they "
       "exceed a training step's",
       "larger batches use the device better; the loss is the same"},
      {"run.gradient_accumulation_steps", "none beyond one gradient buffer",
       "more tokens per update; collectives of the update are spread over them"},
      {"data.block_size", "activations grow in proportion", "attention grows with its square"},
      {"data.packing", "", "without it padding is computed too"},
      {"launch.nproc", "what is sharded is divided by it", "compute is divided by it"},
      {"launch.gpu_memory", "upper bound of a rank", "automatic choices have less room"},
      {"launch.host_memory", "upper bound of the ranks of a machine together",
       "more goes to disk or stays on the device"},
      {"checkpoint.async_save",
       "one host copy of what is saved; of what lies on disk a second place there",
       "training goes on while it writes"},
      {"checkpoint.save_steps", "", "every save takes time"},
      {"run.eval_steps", "", "every evaluation takes time"},
      {"run.profile_steps", "", "timed steps run without graphs"},
      {"predict.batch_size", "cached keys and values grow in proportion",
       "prompts share one pass over the weights"},
      {"predict.max_new_tokens", "cached keys and values grow in proportion", "one pass per token"},
  };
  return all;
}

std::string documented(const Effect& effect) {
  return std::string("| `") + effect.field + "` | " + effect.memory + " | " + effect.speed + " |";
}

}  // namespace zt::config
