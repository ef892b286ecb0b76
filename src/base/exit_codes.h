#pragma once

namespace zt {

/// Exit code of a run that a signal or its time limit ended early, with its state saved: started
/// again with --resume_from_checkpoint latest it goes on. No error. (EX_TEMPFAIL of sysexits.h.)
/// The codes of errors: base/error.h.
inline constexpr int kStoppedExitCode = 75;

}  // namespace zt
