#include "cli/commands.h"
#include "plan/run_plan.h"

namespace zt::cli {

int run_plan(const Arguments& arguments) { return plan::run_plan(arguments); }

}  // namespace zt::cli
