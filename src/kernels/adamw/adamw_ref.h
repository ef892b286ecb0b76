#pragma once

#include <cmath>

#include "kernels/adamw/adamw_impl.h"

namespace zt::kernels::reference {

/// One element of AdamW. `Real` = double is the accuracy reference; `Real` = float is the contract
/// that every device meets bit for bit (compile with -ffp-contract=off).
template <typename Real>
struct AdamWElement {
  Real master, exp_avg, exp_avg_sq;
};

template <typename Real>
AdamWElement<Real> adamw(AdamWElement<Real> old, Real grad, Real factor, const AdamWScalars& s) {
  Real p = old.master;
  Real g = grad * factor;
  if (s.l2) {
    g = std::fma(static_cast<Real>(s.weight_decay), p, g);
  } else {
    p = p * static_cast<Real>(s.decay_factor);
  }
  const Real one_minus_beta1_g = static_cast<Real>(s.one_minus_beta1) * g;
  const Real m = std::fma(static_cast<Real>(s.beta1), old.exp_avg, one_minus_beta1_g);
  const Real g_squared = g * g;
  const Real one_minus_beta2_g = static_cast<Real>(s.one_minus_beta2) * g_squared;
  const Real v = std::fma(static_cast<Real>(s.beta2), old.exp_avg_sq, one_minus_beta2_g);
  const Real root = std::sqrt(v) * static_cast<Real>(s.inv_sqrt_bias2);
  const Real q = m / (root + static_cast<Real>(s.epsilon));
  p = std::fma(static_cast<Real>(-s.step_size), q, p);
  return {p, m, v};
}

}  // namespace zt::kernels::reference
