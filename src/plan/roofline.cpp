#include "plan/roofline.h"

#include <algorithm>

#include "zero/residency.h"

namespace zt::plan {
namespace {

double as_double(std::int64_t value) { return static_cast<double>(value); }

// Shares of the data sheet's rates that are reached.
constexpr double kProducts = 0.65;      ///< large GEMMs of a step, launch gaps included
constexpr double kProductAlone = 0.86;  ///< one large GEMM over and over, as a run measures it
constexpr double kUsualShare = 0.8;     ///< of layers in a product's rate, on the CPU
constexpr double kMemory = 0.75;        ///< kernels that read and write activations
constexpr double kLink = 0.6;           ///< large collectives
/// fp32 operations of scan forward and backward per token, channel and state, its exponentials and
/// recomputed forward included, and the share of the fp32 peak at which they run.
constexpr double kScanForward = 16, kScanBackward = 60, kScanShare = 0.45;
/// Elements that the kernels beside products and scan read and write, per token and inner channel.
constexpr double kRowElements = 26;
constexpr double kHostSecondsPerParam = 0.25e-9;  ///< AdamW on a machine of 32 cores

double forwards(Recompute recompute) { return recompute == Recompute::full ? 2 : 1; }

/// Width that stands for what one layer's small kernels move.
double inner_width(const model::Model& model) {
  if (const auto* mamba = model.as<model::MambaConfig>()) return as_double(mamba->inner);
  return 2 * as_double(model.hidden());
}

/// Products, scan and the bytes of kernels beside them.
struct LayerWork {
  double products = 0, scan = 0, moved = 0;
  [[nodiscard]] double seconds(const DeviceLimits& device) const {
    return products + scan + moved / (device.memory_rate * kMemory);
  }
};

LayerWork layer_work(const model::Model& model, const zero::EngineOptions& options,
                     const DeviceLimits& device) {
  const auto recompute = options.zero.recompute.value_or(Recompute::none);
  const auto compute = options.precision.compute;
  const double tokens = as_double(options.shape.tokens() * options.micro_steps);
  const double repeats = forwards(recompute);
  LayerWork work;
  const double rate = compute == DType::f32 ? device.scalar_rate : device.matrix_rate;
  const double flops = model.train_flops_per_token(options.shape.sequence);
  work.products = tokens * flops * (2 + repeats) / 3 / (rate * kProducts);
  if (const auto* mamba = model.as<model::MambaConfig>()) {
    const double cells = tokens * as_double(mamba->layers * mamba->inner * mamba->state);
    work.scan =
        cells * (kScanForward * repeats + kScanBackward) / (device.scalar_rate * kScanShare);
  }
  const double rows = tokens * as_double(model.layers()) * inner_width(model) * kRowElements;
  work.moved = rows * as_double(size_of(compute).value) * (2 + repeats) / 3;
  return work;
}

}  // namespace

double layer_seconds(const model::Model& model, const zero::EngineOptions& options,
                     const DeviceLimits& device) {
  return layer_work(model, options, device).seconds(device);
}

double layer_share(const model::Model& model, const zero::EngineOptions& options,
                   const DeviceLimits* device) {
  if (device == nullptr) return kUsualShare;
  const auto work = layer_work(model, options, *device);
  return work.products * kProducts / kProductAlone / work.seconds(*device);
}

RooflineTime predict_roofline(const model::Model& model, const Candidate& candidate, int world,
                              const DeviceLimits& device) {
  const auto& options = candidate.options;
  const auto build = zero::build_options(options, world);
  const double params = as_double(model.num_params());
  const auto width = as_double(size_of(build.compute).value);
  const auto work = layer_work(model, options, device);
  RooflineTime time;
  time.products = work.products;
  time.scan = work.scan;
  // AdamW reads and writes three fp32 states, reads the gradient and writes the parameter.
  const double owned = params / (build.residency.states_sharded ? world : 1);
  const bool on_host = build.residency.state_place != Place::device;
  const double optimizer = on_host ? 0 : owned * (7 * 4 + width);
  const double moved = work.moved + optimizer + params * 8;
  time.memory = moved / (device.memory_rate * kMemory);
  if (on_host) time.host = owned * kHostSecondsPerParam;
  if (world > 1) {
    const double link = as_double(candidate.costs.sent.value) / (device.link_rate * kLink);
    const double table = as_double(model.vocab() * model.hidden()) * 2 * width;
    const double ends = table / (device.link_rate * kLink);  // nothing runs beside the last unit's
    time.exposed = std::max(link - time.products - time.scan - time.memory, std::min(link, ends));
  }
  return time;
}

}  // namespace zt::plan
