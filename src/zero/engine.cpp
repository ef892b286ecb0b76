#include "zero/engine.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>
#include <utility>

#include "base/log.h"
#include "kernels/adamw/adamw.h"
#include "kernels/cast/cast.h"
#include "layer/tensor_view.h"
#include "schedule/check.h"
#include "zero/engine_impl.h"
#include "zero/residency.h"

namespace zt::zero {
namespace {

/// All ranks compare the hash of their collectives before the first of them runs.
void compare_schedules(const Machine& machine, const schedule::Program& program,
                       memory::Queues& queues) {
  const auto mine = schedule::collective_hash(program);
  const auto world = machine.world();
  if (world == 1) return;
  // The scalars buffer is free now and has one fp64 word per rank (the losses).
  const auto scalars = scalars_of(machine, program.scalars);
  const auto launch = queues.compute();
  std::vector<std::uint64_t> hashes(static_cast<std::size_t>(world), 0);
  auto own = mine;
  memory::copy({&own, 1, DType::i64}, double_view(scalars.losses() + machine.rank(), 1), launch);
  machine.communicator->all_gather(double_view(scalars.losses() + machine.rank(), 1),
                                   double_view(scalars.losses(), world), launch);
  memory::copy(double_view(scalars.losses(), world), {hashes.data(), world, DType::i64}, launch);
  memory::synchronize(launch);
  machine.communicator->check();
  for (int r = 0; r < world; ++r) {
    if (hashes[static_cast<std::size_t>(r)] != mine) {
      throw CommError(
          fmt::format("[zero.engine] rank {} plans other collectives than rank {}: got hash {:x}, "
                      "expected {:x}. "
                      "All ranks need the same configuration and model.",
                      r, machine.rank(), hashes[static_cast<std::size_t>(r)], mine));
    }
  }
}

void require_valid(const EngineOptions& options, int world) {
  const auto sums = options.precision.grad_accum;
  const bool narrow = sums == DType::bf16 && options.precision.compute == DType::bf16;
  if (sums != DType::f32 && !narrow) {
    throw ConfigError(
        fmt::format("[zero.engine] data_types.grad_accum_dtype: got {}, expected fp32, or bf16 in "
                    "a bf16 run.",
                    to_string(sums)));
  }
  if (options.micro_steps < 1 || world < 1 || options.shape.tokens() < 1) {
    throw ConfigError(
        "[zero.engine] micro_steps, world size and tokens per micro-step are positive.");
  }
}

}  // namespace

Engine::Impl::Impl(ModelParts model_in, EngineOptions options_in, const RankContext& context)
    : model(std::move(model_in)), options(std::move(options_in)) {
  const int world = context.communicator->world();
  require_valid(options, world);
  layout = layout::ModelLayout::make(model.params, model.units, world);
  const auto info = describe(model, layout, options, context.device);
  program = schedule::build(info, build_options(options, world));
  const auto problems = schedule::check(program, options.micro_steps);
  ZT_ASSERT(problems.empty(), problems.front());
  memory::set_device(context.device, context.device_index);
  machine.model = &model;
  machine.layout = &layout;
  machine.options = &options;
  machine.program = &program;
  machine.communicator = context.communicator;
  machine.device = context.device;
  machine.device_index = context.device_index;
  machine.position = context.position;
  machine.local_world = context.local_world;
  if (context.device == Device::cuda && program.host_scalars.valid()) {
    machine.pool = std::make_unique<memory::HostPool>(
        memory::share_of_rank(memory::host_topology(), context.local_rank, context.local_world));
  }
  require_host_memory(context);
  machine.device_arena =
      std::make_unique<memory::Arena>(Place::device, context.device, program.device_arena);
  if (options.zero.copy_engines && context.device == Device::cuda && world > 1) {
    shared = machine.communicator->share_memory(
        {machine.device_arena->at({0}), program.device_arena.value, DType::u8});
    log::info("engine", shared ? "collectives are copies between the GPUs"
                               : "--transfers copy: the ranks do not reach each other's memory; "
                                 "NCCL moves everything");
  }
  machine.host_arena = std::make_unique<memory::Arena>(Place::host, context.device,
                                                       program.host_arena, host_memory());
  if (program.on_disk.value > 0) {
    machine.disk = std::make_unique<Disk>(program, options.zero,
                                          Disk::Owner{machine.rank(), machine.local_world},
                                          [writer = machine.position] {
                                            if (writer != nullptr) writer->mark_host();
                                          });
  }
  memory::reset_library_peak(context.device);
  if (options.device_limit.value > 0 && context.device == Device::cuda) limit_library();
  state.context.batch = &state.batch;
  state.context.shape = options.shape;
  state.context.loss_scale_on_device = machine.tensor(scalars().loss_scale().data, {1}, DType::f32);
  if (context.device == Device::cuda) make_batch_buffers();
  graphs =
      context.device == Device::cuda && options.zero.cuda_graphs && !options.shape.document_mask;
  state.context.compute = options.precision.compute;
  state.context.deterministic = options.zero.deterministic;
  executor = std::make_unique<Executor>(machine, state);
  compare_schedules(machine, program, executor->queues());
  if (options.precision.compute == DType::f16) scaler.emplace(options.precision);
  upload_inverse_scale();
}

void Engine::Impl::require(bool condition, const char* what) const {
  if (!condition) {
    throw InternalError(
        fmt::format("[zero.engine] {} (rank {}, micro-step {} of {}). This is a bug in "
                    "the calling program.",
                    what, machine.rank(), micro, options.micro_steps));
  }
}

schedule::VariantKind Engine::Impl::variant() const {
  using schedule::VariantKind;
  const bool first = micro == 0;
  const bool last = micro == options.micro_steps - 1;
  if (first && last) return VariantKind::only;
  if (first) return VariantKind::first;
  return last ? VariantKind::last : VariantKind::middle;
}

std::vector<double> Engine::Impl::read(double* device_values, std::int64_t count) {
  std::vector<double> values(static_cast<std::size_t>(count));
  const auto launch = executor->queues().compute();
  executor->synchronize_device();
  memory::copy(double_view(device_values, count), double_view(values.data(), count), launch);
  memory::synchronize(launch);
  machine.communicator->check();  // after an abort the device's values are not what they should be
  return values;
}

void Engine::Impl::upload_inverse_scale() {
  double inverse = 1.0 / (scaler ? scaler->scale() : 1.0);
  const auto launch = executor->queues().compute();
  executor->synchronize_device();
  memory::copy(double_view(&inverse, 1), double_view(scalars().inverse_scale(), 1), launch);
  memory::synchronize(launch);
}

void Engine::Impl::update_loss_scale(StepResult& result) {
  if (!scaler) return;
  result.loss_scale = scaler->scale();
  scaler->update(result.skipped, result.cause);
  result.next_loss_scale = scaler->scale();
  if (result.next_loss_scale != result.loss_scale) upload_inverse_scale();
}

void Engine::Impl::set_batch(const layer::Batch& batch, layer::Batch& to, double* loss_sum) {
  if (machine.device == Device::cuda) {
    const auto launch = executor->queues().compute();
    memory::copy(layer::view_of(batch.input_ids), layer::view_of(to.input_ids), launch);
    memory::copy(layer::view_of(batch.targets), layer::view_of(to.targets), launch);
    memory::copy(layer::view_of(batch.position_ids), layer::view_of(to.position_ids), launch);
    to.cu_seqlens = batch.cu_seqlens;
    sources.push_back(batch);
  } else {
    to = batch;
  }
  state.context.batch = &to;
  state.context.loss_sum = machine.tensor(loss_sum, {1}, DType::i64).view(at::kDouble);
}

void Engine::Impl::make_batch_buffers() {
  const auto device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(machine.device_index));
  const auto make = [&](const layer::BatchShape& shape) {
    return at::zeros({shape.batch, shape.sequence}, at::TensorOptions(device).dtype(at::kLong));
  };
  const auto& shape = options.shape;
  state.batch = {make(shape), make(shape), make(shape), {}};
  state.eval_batch = state.batch;
  const auto evaluated = options.eval_shape();
  if (evaluated.batch == shape.batch) return;
  state.eval_batch = {make(evaluated), make(evaluated), make(evaluated), {}};
}

void Engine::Impl::publish_loss_scale() {
  auto value = static_cast<float>(state.context.loss_scale);
  memory::copy({&value, 1, DType::f32}, scalars().loss_scale(), executor->queues().compute());
}

void Engine::Impl::settle() {
  if (std::exchange(unpublished, false)) executor->run(schedule::VariantKind::settle);
}

void Engine::Impl::publish_optimizer_scalars(double learning_rate) {
  executor->synchronize_host();  // the step before reads its own
  const auto& optimizer = options.optimizer;
  kernels::AdamWParams params;
  params.learning_rate = learning_rate;
  params.beta1 = optimizer.beta1;
  params.beta2 = optimizer.beta2;
  params.epsilon = optimizer.epsilon;
  params.l2 = optimizer.l2_adam;
  params.bias_correction = optimizer.bias_correction;
  params.step = applied + 1;
  for (const bool decay : {false, true}) {
    params.weight_decay = decay ? optimizer.weight_decay : 0.0;
    std::array<std::byte, kernels::kAdamWScalarBytes> bytes{};
    kernels::write_adamw_scalars(params, bytes.data());
    const View values{bytes.data(), kernels::kAdamWScalarBytes, DType::u8};
    memory::copy(values, scalars().adamw(decay), executor->queues().compute());
    if (!program.host_scalars.valid()) continue;
    std::memcpy(scalars_of(machine, program.host_scalars).adamw(decay).data, bytes.data(),
                bytes.size());
  }
}

Engine::Engine(ModelParts model, EngineOptions options, const RankContext& context)
    : impl_(std::make_unique<Impl>(std::move(model), std::move(options), context)) {}

Engine::~Engine() {
  if (!impl_->shared || std::uncaught_exceptions() > 0) return;
  try {
    impl_->executor->synchronize();
    impl_->machine.communicator->unshare_memory();
  } catch (const Error& error) {  // a destructor's path: the run has failed elsewhere
    log::warning("engine", error.what());
  }
}

void Engine::begin_step(std::int64_t target_tokens) {
  auto& self = *impl_;
  self.require(self.micro == 0 && !self.in_forward, "begin_step inside a step");
  if (target_tokens < 1) {
    throw ConfigError("[zero.engine] the step has no target tokens. Check the labels of the data.");
  }
  self.target_tokens = target_tokens;
  const double scale = self.scaler ? self.scaler->scale() : 1.0;
  self.state.context.loss_scale = scale / static_cast<double>(target_tokens);
  const auto launch = self.executor->queues().compute();
  kernels::fill_zero(double_view(self.scalars().losses() + self.machine.rank(), 1), launch);
  self.publish_loss_scale();
}

void Engine::micro_step(const layer::Batch& batch) {
  auto& self = *impl_;
  self.require(self.target_tokens > 0, "micro_step before begin_step");
  self.require(self.micro < self.options.micro_steps && !self.in_forward, "too many micro_steps");
  if (self.machine.position != nullptr) self.machine.position->begin_micro_step(self.micro);
  self.set_batch(batch, self.state.batch, self.scalars().losses() + self.machine.rank());
  self.run(self.variant());
  self.unpublished = false;
  ++self.micro;
}

double Engine::forward(const layer::Batch& batch) {
  auto& self = *impl_;
  self.require(self.target_tokens > 0, "forward before begin_step");
  self.require(self.micro < self.options.micro_steps && !self.in_forward,
               "forward before backward");
  auto* loss = self.scalars().losses() + self.machine.rank();
  const double before = self.read(loss, 1).front();
  self.set_batch(batch, self.state.batch, loss);
  self.executor->run_until_loss(self.variant());
  self.in_forward = true;
  self.forward_loss = self.read(loss, 1).front() - before;
  return self.forward_loss;
}

void Engine::backward(double loss) {
  auto& self = *impl_;
  self.require(self.in_forward, "backward without a forward");
  self.require(loss == self.forward_loss || (std::isnan(loss) && std::isnan(self.forward_loss)),
               "backward takes only the loss that the last forward returned");
  self.executor->run_after_loss(self.variant());
  self.unpublished = false;
  self.in_forward = false;
  ++self.micro;
}

std::string Engine::Impl::describe_not_finite(const std::vector<double>& losses) {
  std::string text;
  const auto name = [&text](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  for (int r = 0; r < machine.world(); ++r) {
    if (!std::isfinite(losses[static_cast<std::size_t>(r)]))
      name(fmt::format("loss of rank {}", r));
  }
  const auto units = static_cast<std::int64_t>(layout.units.size());
  const auto partials = read(scalars().partials(0), machine.world() * units);
  constexpr int kMaxNamed = 4;
  int named = 0;
  for (std::int64_t u = 0; u < units && named < kMaxNamed; ++u) {
    std::string ranks;  // whose shards of the reduced gradient
    for (int r = 0; r < machine.world(); ++r) {
      if (std::isfinite(partials[static_cast<std::size_t>(r * units + u)])) continue;
      ranks += (ranks.empty() ? "" : " ") + std::to_string(r);
    }
    if (ranks.empty()) continue;
    name(fmt::format("gradient of {} (shard of rank {})",
                     layout.units[static_cast<std::size_t>(u)].unit().name, ranks));
    if (++named == kMaxNamed) name("...");
  }
  return text;
}

StepResult Engine::step(double learning_rate) {
  auto& self = *impl_;
  self.require(self.micro == self.options.micro_steps, "step before all micro_steps");
  self.wait_for_snapshot();
  self.publish_optimizer_scalars(learning_rate);
  self.run(schedule::VariantKind::boundary);
  self.unpublished = true;
  const auto world = self.machine.world();
  const auto values = self.read(self.scalars().losses(), world + 1);  // losses, then the norm
  StepResult result;
  for (int r = 0; r < world; ++r) result.loss += values[static_cast<std::size_t>(r)];
  result.loss /= static_cast<double>(self.target_tokens);
  result.grad_norm = values.back();
  result.skipped = !std::isfinite(result.grad_norm);
  if (!result.skipped) ++self.applied;
  if (result.skipped) result.cause = self.describe_not_finite(values);
  self.micro = 0;
  self.target_tokens = 0;
  ++self.steps;
  self.sources.clear();
  self.update_loss_scale(result);
  return result;
}

double Engine::evaluate(const layer::Batch& batch) {
  auto& self = *impl_;
  self.require(self.micro == 0 && !self.in_forward, "evaluate inside a step");
  self.settle();
  auto* loss = self.scalars().evaluation_loss();
  kernels::fill_zero(double_view(loss, 1), self.executor->queues().compute());
  self.set_batch(batch, self.state.eval_batch, loss);
  self.executor->run(schedule::VariantKind::evaluation);
  const double sum = self.read(loss, 1).front();
  self.sources.clear();
  return sum;
}

EvaluatedBatch Engine::evaluate_tokens(const layer::Batch& batch) {
  auto& self = *impl_;
  const auto launch = self.executor->queues().compute();
  const auto like = self.machine.tensor(self.scalars().base, {1}, DType::i64);
  auto& hits = self.state.context.hits;
  hits = at::empty({1}, like.options());
  kernels::fill_zero(layer::view_of(hits), launch);
  EvaluatedBatch result{.loss_sum = evaluate(batch)};
  memory::copy(layer::view_of(hits), {&result.hits, 1, DType::i64}, launch);
  memory::synchronize(launch);
  hits.reset();
  return result;
}

std::int64_t Engine::applied_steps() const { return impl_->applied; }

std::optional<optim::LossScalerState> Engine::loss_scaler_state() const {
  if (!impl_->scaler) return std::nullopt;
  return impl_->scaler->state();
}

void Engine::set_loss_scaler_state(const optim::LossScalerState& saved) {
  auto& self = *impl_;
  self.require(self.micro == 0 && !self.in_forward, "set_loss_scaler_state inside a step");
  if (!self.scaler) return;
  self.scaler->set_state(saved);
  self.upload_inverse_scale();
}

const schedule::Program& Engine::program() const { return impl_->program; }
const layout::ModelLayout& Engine::layout() const { return impl_->layout; }
std::string Engine::position() const { return impl_->executor->position(); }
comm::OperationNames Engine::operation_names() const {
  return name_operations(impl_->program, impl_->options.zero);
}
Bytes Engine::library_peak() const { return memory::library_peak(impl_->machine.device); }

}  // namespace zt::zero
