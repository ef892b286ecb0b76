#!/usr/bin/env python3
"""Fails on long files, unregistered tests, getenv, stage numbers, machine paths and left-over notes."""

import re
import sys

import source_tree

MAX_LINES = {".h": 200}  # a .cuh is device code, not an interface
MAX_LINES_DEFAULT = 400
# Longer files, each with its reason. A file that shrinks below the limit has to leave this list.
LONG_FILES = {
}
# (what, pattern, files it applies to, files that may, why)
RULES = [
    ("getenv", re.compile(r"\b(secure_)?getenv\s*\(|\benviron\b"),
     re.compile(r"^(src|include)/.*\.(h|cpp|cu|cuh)$"), re.compile(r"^src/config/env\.cpp$|_test\.cpp$"),
     "the environment is read in src/config/env.cpp only"),
    ("stage number", re.compile(r"\bstage\s*(>=|<=|==|!=|<|>)\s*[0-9]"),
     re.compile(r"^src/.*\.(h|cpp|cu|cuh)$"), re.compile(r"^src/zero/residency\.cpp$|^src/config/|_test\.cpp$"),
     "a ZeRO stage is one row of the residency table; ask the residency"),
    ("left-over note", re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"),
     re.compile(r"\.(h|cpp|cu|cuh|cmake|txt|py|sh|md)$"),
     re.compile(r"^scripts/check_sources\.py$|^tests/tools/|_test\.cpp$"), "finish it or say it in the docs"),
    ("machine path", re.compile(r"(?<![\w.])/(work|root|home|Users|mnt|opt)/[\w.-]+"),
     re.compile(r""), re.compile(r"^scripts/check_sources\.py$|^tests/tools/|^LICENSE$"),
     "sources and docs name no machine's folders"),
    ("mutable global", re.compile(r"^(static\s+)?(?!const|constexpr|using|typedef|return)(std::\w+(<.*>)?|int|bool|double|float)"
                                  r"\s+g_\w+"),
     re.compile(r"^src/.*\.(h|cpp|cu|cuh)$"), re.compile(r"^$"), "there are no globals"),
]


def length_findings(root, names):
    """Files over the limit without a reason, and reasons that are no longer needed."""
    found, long_names = [], set()
    for name in names:
        lines = source_tree.read(root, name).count("\n")
        limit = MAX_LINES.get(name.suffix, MAX_LINES_DEFAULT)
        if lines > limit:
            long_names.add(name.as_posix())
            if name.as_posix() not in LONG_FILES:
                found.append(f"{name}:{limit}: {lines} lines, at most {limit}: split it")
    for name in LONG_FILES:
        if (root / name).exists() and name not in long_names:
            found.append(f"{name}:1: is short now; remove it from LONG_FILES")
    return found


def expand_calls(text):
    """CMake text without comments, plus the bodies of its functions for every call, as zt_kernel(adamw)."""
    text = re.sub(r"#.*", "", text)
    bodies = []
    for name, parameter, body in re.findall(r"function\((\w+) (\w+)[^)]*\)(.*?)endfunction\(", text, re.DOTALL):
        for argument in re.findall(rf"(?m)^\s*{name}\(\s*(\w+)", text):
            bodies.append(body.replace("${" + parameter + "}", argument))
    return "\n".join([text, *bodies])


def registration_findings(root, names):
    """Test sources that no CMakeLists.txt names: they would silently never run."""
    found = []
    for name in names:
        if not name.name.endswith(("_test.cpp", "_test.cu", "_bench.cpp")):
            continue
        folder, registered = name.parent, False
        while not registered and folder.as_posix() != ".":
            cmake = root / folder / "CMakeLists.txt"
            text = expand_calls(cmake.read_text(encoding="utf-8")) if cmake.exists() else ""
            relative = name.relative_to(folder).as_posix()
            registered = re.search(rf"(?<![\w./]){re.escape(relative)}(?![\w.])", text) is not None
            folder = folder.parent
        if not registered:
            found.append(f"{name}:1: is in no CMakeLists.txt, so it never runs")
    return found


def rule_findings(root, names):
    found = []
    for name in names:
        rules = [r for r in RULES if r[2].search(name.as_posix()) and not r[3].search(name.as_posix())]
        if not rules:
            continue
        for number, line in enumerate(source_tree.read(root, name).splitlines(), 1):
            for what, pattern, _, _, why in rules:
                if pattern.search(line):
                    found.append(f"{name}:{number}: {what}: {why}")
    return found


def check(root):
    """All findings of a tree, and the number of files read."""
    code = source_tree.cpp_files(root, (".h", ".cpp", ".cu", ".cuh"))
    text = [f for f in source_tree.files(root)
            if f.suffix in (".h", ".cpp", ".cu", ".cuh", ".inc", ".cmake", ".txt", ".py", ".sh", ".md", ".json", ".yaml", ".yml")
            or f.suffix == ""]
    findings = length_findings(root, code) + registration_findings(root, code) + rule_findings(root, text)
    return findings, len(text)


if __name__ == "__main__":
    source_tree.finish("check_sources", *check(source_tree.root_argument(__doc__).parse_args(sys.argv[1:]).root))
