#!/usr/bin/env python3
"""Every check of scripts/ flags a tree that breaks its rule, and passes the same tree without the fault."""

import pathlib
import subprocess
import sys
import tempfile

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"

# (what, check, file, text, the finding must contain)
VIOLATIONS = [
    ("a lower module includes a higher one", "check_includes.py", "src/base/a.h", '#include "config/config.h"\n',
     "base may not include module config"),
    ("zero includes train", "check_includes.py", "src/zero/a.cpp", '#include "train/loop.h"\n', "may not include module train"),
    ("siblings stay apart", "check_includes.py", "src/model/a.cpp", '#include "zero/engine.h"\n', "may not include module zero"),
    ("a module without a row", "check_includes.py", "src/extra/a.cpp", '#include "base/error.h"\n', "has no row"),
    ("nccl outside comm", "check_includes.py", "src/zero/a.cpp", "#include <nccl.h>\n", "belong in src/comm/"),
    ("c10d outside comm", "check_includes.py", "src/train/a.cpp",
     "#include <torch/csrc/distributed/c10d/TCPStore.hpp>\n", "belong in src/comm/"),
    ("cuda outside its files", "check_includes.py", "src/zero/a.cpp", "#include <cuda_runtime.h>\n", "CUDA headers belong"),
    ("cuda by way of c10", "check_includes.py", "src/layer/a.h", "#include <c10/cuda/CUDAStream.h>\n", "CUDA headers belong"),
    ("torch in a CUDA file", "check_includes.py", "src/kernels/x/x_cuda.cu", "#include <ATen/core/Tensor.h>\n",
     "without torch headers"),
    ("torch in a torch-free module", "check_includes.py", "src/data/a.h", "#include <ATen/core/Tensor.h>\n",
     "built without libtorch"),
    ("torch/torch.h outside autograd_layer", "check_includes.py", "src/layer/layer.h", "#include <torch/torch.h>\n",
     "autograd_layer"),
    ("spdlog outside the log", "check_includes.py", "src/config/a.cpp", "#include <spdlog/spdlog.h>\n", "src/base/log.cpp"),
    ("json in a public header", "check_includes.py", "include/zerotrain/a.h", "#include <nlohmann/json.hpp>\n", "public headers"),
    ("a spaced include", "check_includes.py", "src/base/a.h", '#  include   "zero/engine.h"\n', "may not include"),
    ("a long source", "check_sources.py", "src/base/a.cpp", "int a;\n" * 401, "401 lines"),
    ("a long header", "check_sources.py", "src/base/a.h", "int a;\n" * 201, "201 lines"),
    ("an unregistered test", "check_sources.py", "src/base/a_test.cpp", "int a;\n", "never runs"),
    ("getenv", "check_sources.py", "src/train/a.cpp", 'auto x = std::getenv("HOME");\n', "src/config/env.cpp"),
    ("a stage number", "check_sources.py", "src/zero/engine.cpp", "if (stage >= 2) {}\n", "residency table"),
    ("a machine path", "check_sources.py", "docs/a.md", "see /home/me/notes\n", "no machine's folders"),
    ("a left-over note", "check_sources.py", "src/base/a.cpp", "// TODO later\n", "finish it"),
    ("a user's page without a translation", "check_translations.py", "docs/launch.md", "# A\n", "has no docs/launch.zh-CN.md"),
    ("a translation that nobody compares", "check_translations.py", "docs/a.zh-CN.md", "# A\n", "is in no list"),
    ("bad format", "check_format.py", "src/base/a.cpp", "int   a ;\n", "clang-format"),
    ("a header that needs another", "check_headers.py", "include/zerotrain/a.h",
     "#pragma once\nstd::string a();\n", "does not compile alone"),
]
# Files that look alike and are right.
ALLOWED = [
    ("check_includes.py", "src/zero/a.cpp", '#include "schedule/build.h"\n#include "base/error.h"\n'),
    ("check_includes.py", "src/comm/nccl/a.cpp", "#include <nccl.h>\n#include <cuda_runtime.h>\n"),
    ("check_includes.py", "src/kernels/x/x_cuda.cu", '#include <cuda_bf16.h>\n#include "kernels/x/x.h"\n'),
    ("check_includes.py", "src/layer/autograd_layer.cpp", "#include <torch/torch.h>\n"),
    ("check_sources.py", "src/base/a.cpp", "int a;\n" * 400),
    ("check_sources.py", "src/config/env.cpp", 'auto x = std::getenv("HOME");\n'),
    ("check_translations.py", "docs/architecture.md", "# A\n"),
    ("check_format.py", "src/base/a.cpp", "int a;\n"),
    ("check_headers.py", "include/zerotrain/a.h", "#pragma once\n#include <string>\nstd::string a();\n"),
]


def run(check, name, text):
    """Exit status and output of one check on a tree with one file."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text, encoding="utf-8")
        (root / ".clang-format").write_text("BasedOnStyle: Google\n", encoding="utf-8")
        result = subprocess.run([sys.executable, str(SCRIPTS / check), "--root", folder],
                                capture_output=True, text=True, check=False)
        return result.returncode, result.stdout + result.stderr


def registered_test_is_found():
    """A test that a CMakeLists.txt names, itself or by a function, is accepted; one in a comment is not."""
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder) / "src" / "base"
        base.mkdir(parents=True)
        (base / "a_test.cpp").write_text("int a;\n", encoding="utf-8")
        statuses = []
        rule = "function(add op)\n  zt_test(${op} SOURCES ${op}_test.cpp)\nendfunction()\n"
        for text in ("zt_test(a SOURCES a_test.cpp)\n", rule + "add(a)\n", "# zt_test(a SOURCES a_test.cpp)\n",
                     "zt_test(a SOURCES ba_test.cpp)\n", rule + "add(b)\n"):
            (base / "CMakeLists.txt").write_text(text, encoding="utf-8")
            statuses.append(subprocess.run([sys.executable, str(SCRIPTS / "check_sources.py"), "--root", folder],
                                           capture_output=True, check=False).returncode)
        return statuses == [0, 0, 1, 1, 1]


def main():
    failures = 0

    def report(good, what, detail=""):
        nonlocal failures
        failures += not good
        print(f"{'PASS' if good else 'FAIL'} {what} {'' if good else detail}")

    for what, check, name, text, expected in VIOLATIONS:
        status, output = run(check, name, text)
        report(status == 1 and expected in output, f"{check} flags {what}", f"status {status}: {output}")
    for check, name, text in ALLOWED:
        status, output = run(check, name, text)
        report(status == 0, f"{check} accepts {name}", f"status {status}: {output}")
    report(registered_test_is_found(), "check_sources.py knows registered tests")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
