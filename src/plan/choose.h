#pragma once

#include "plan/candidate.h"

namespace zt::plan {

/// Largest micro-batch, in tokens, that coalescing makes by itself; four times that with offload.
inline constexpr std::int64_t kMaxCoalescedTokens = 16384;

/// Replaces every `auto` by a choice, before step 1. What the user set stays as it is.
///
/// On CUDA: recompute and coalesce are those with the least estimated compute time that fit 90 % of
/// `device_memory`; then reduce_at = boundary, retained units and reduced gradients that wait on
/// the device (of offloaded states) are taken where they send less and still fit, and then
/// reductions beside the next backward where their memory fits too. Offloaded parameters are
/// fetched as far ahead as the predicted step gets shorter by it and memory allows. Where the
/// places of states and parameters are left to the plan, they are those of `find_settings`. With
/// nothing that fits, the smallest. On the CPU: the residency table, coalesce off, retain off,
/// recompute none, reductions beside the next backward.
///
/// Afterwards options.zero.recompute, reduce_at and reduce_beside are set, retain_auto says whether
/// units are retained, coalesce is k >= 1, and shape.batch and micro_steps are those of the
/// coalesced micro-batches: k times the sequences, 1/k of the micro-steps. Call it once.
/// Deterministic: from the sizes and the device's capacity, never from free memory. Ranks with
/// different devices pass the smallest capacity.
/// Errors: ConfigError when a k that the user named does not divide the micro-steps.
Candidate choose(const Planner& planner, const zero::EngineOptions& options);

/// The same for one call: the options alone.
zero::EngineOptions choose(const zero::EngineOptions& options, const zero::ModelParts& model,
                           const Target& target);

/// Stops a run that cannot fit, before anything is allocated.
/// Errors: ConfigError with what is needed and available, the operation at the peak, and the
/// cheapest change that fits.
void require_fits(const Planner& planner, const Candidate& candidate);

}  // namespace zt::plan
