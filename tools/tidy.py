#!/usr/bin/env python3
"""Checks what compilers do not: layers, sizes, orphans, words, and that documents tell the truth.

    tools/tidy.py [ROOT]      exit 0: tidy; 1: one line per problem, `file:line: rule: what to do`
    tools/tidy.py --shrink    lowers and removes the entries of tools/ratchet.txt that allow it

Each rule is a generator over the tree, listed in RULES.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tidy_sizes import RATCHET, shrink_ratchet, sizes
from tidy_tree import Problem, Source, Tree, matches

# Which folders each folder may include from; the longest matching key counts.
LAYERS: dict[str, tuple[str, ...]] = {
    "base": ("base",),
    "io/archive": ("base", "io/archive"),
    "io/disk": ("base", "io/disk"),
    "kernels": ("base", "kernels"),
    "engine": ("base", "io", "kernels", "engine"),
    "bindings": ("base", "io", "kernels", "engine", "bindings"),
    "tools": ("base", "io", "kernels", "engine", "tools"),
    "bench": ("base", "io", "kernels", "engine", "bench"),
}
SYSTEM_HEADERS = re.compile(
    r"<(sys/|linux/|liburing|(unistd|fcntl|pthread|signal|dirent|stdio)\.h|fstream|cstdio|csignal)"
)
TORCH_HEADERS = re.compile(r'[<"](torch|ATen|c10)/')
TESTS_OF_TIDY = "tests/tidy"  # holds text that breaks the rules


# --- whitespace and words ---


def whitespace(tree: Tree) -> Iterator[Problem]:
    for file in tree.files:
        for number, _ in matches(r"[ \t]+$", file.text):
            yield Problem(file.path, number, "whitespace", "remove it from the end of the line")
        if file.path != "Makefile":
            for number, _ in matches(r"\t", file.text):
                yield Problem(file.path, number, "tab", "use spaces")
        if file.text and (not file.text.endswith("\n") or file.text.endswith("\n\n")):
            yield Problem(file.path, len(file.lines), "end of file", "end with one newline")


def words(tree: Tree) -> Iterator[Problem]:
    for file in tree.files:
        if file.is_in(TESTS_OF_TIDY):
            continue
        for number, _ in matches(r"\bTO" r"DO\b(?!\(#\d+\))|\bFIX" r"ME\b|\bX" r"XX\b", file.text):
            yield Problem(file.path, number, "to do", "name its issue, as TODO(#12), or do it")
        for number, found in matches(r"(?<![\w.$}*])/(home|root|work|Users)/", file.text):
            yield Problem(
                file.path, number, "machine path", f"{found.group()} is on one machine only"
            )


# (pattern, folders that may, what to do instead)
CPP_BANNED = [
    (r"(?<!static_)\bassert\s*\(", "", "use TINTYPE_CHECK, which stays on in release builds"),
    (r"\bstd::filesystem\b", "tests tools bench", "it hides errno: use FileSystem"),
    (r"\busing namespace std\s*;", "", "name what is used"),
    (r"\b\w*printf\s*\(", "tests", "use fmt"),
    (r"\bvolatile\b", "", "use std::atomic"),
]


def banned_calls(tree: Tree) -> Iterator[Problem]:
    for file in tree.cpp:
        for pattern, allowed, remedy in CPP_BANNED:
            if any(file.is_in(folder) for folder in allowed.split()):
                continue
            for number, found in matches(pattern, file.code):
                yield Problem(file.path, number, "banned", f"{found.group().strip('( ')}: {remedy}")


# --- layers ---


def layers(tree: Tree) -> Iterator[Problem]:
    for file in tree.cpp:
        for number, found in matches(r'^\s*#\s*include\s*([<"][^>"]+[>"])', file.text):
            for remedy in include_faults(tree, file, found.group(1)):
                yield Problem(file.path, number, "include", remedy)


def include_faults(tree: Tree, file: Source, include: str) -> Iterator[str]:
    name = include[1:-1]
    if TORCH_HEADERS.match(include) and not file.is_in("engine/libtorch"):
        yield f"{name}: torch's headers belong in engine/libtorch alone"
    if SYSTEM_HEADERS.match(include) and file.is_in("io/archive"):
        yield f"{name}: io/archive makes no system calls; put this into io/disk"
    if include[0] == "<":
        return
    if not tree.exists(name):
        yield f"{name} does not exist: include paths start at the root"
        return
    layer = max((key for key in LAYERS if file.is_in(key)), key=len, default=None)
    if layer and not any(name.startswith(folder + "/") for folder in LAYERS[layer]):
        yield f"{name}: {layer} may include from {', '.join(LAYERS[layer])} only"


def headers(tree: Tree) -> Iterator[Problem]:
    """A header that its own source includes first is known to compile alone."""
    for file in tree.cpp:
        own = str(Path(file.path).with_suffix(".h"))
        if file.suffix == ".h" and "#pragma once" not in file.text:
            yield Problem(file.path, 1, "header", "write #pragma once after the file's comment")
        elif file.suffix != ".h" and tree.exists(own):
            first = re.search(r'#include [<"]([^>"]+)', file.text)
            if first is None or first.group(1) != own:
                yield Problem(file.path, 1, "header", f"include {own} first")


# --- orphans ---


def orphans(tree: Tree) -> Iterator[Problem]:
    built = {source for file in tree.files for source in cmake_sources(file)}
    included = {
        found.group(1)
        for file in tree.cpp
        for _, found in matches(r'^\s*#\s*include\s*"([^"]+)"', file.text)
    }
    for file in tree.cpp:
        if file.suffix == ".h" and file.path not in included:
            yield Problem(file.path, 1, "orphan", "no file includes this header")
        elif file.suffix != ".h" and file.path not in built:
            yield Problem(file.path, 1, "orphan", "list it in its folder's CMakeLists.txt")
    for file in tree.python:
        yield from python_orphan(tree, file)


def cmake_sources(file: Source) -> set[str]:
    """The sources that a CMakeLists.txt names, from the root; simple foreach loops are followed."""
    if Path(file.path).name != "CMakeLists.txt":
        return set()
    text = re.sub(r"#[^\n]*", "", file.text)
    innermost = r"foreach\((\w+)([^()]*)\)((?:(?!foreach).)*?)endforeach\([^()]*\)"
    loop = re.compile(innermost, re.DOTALL)
    while found := loop.search(text):
        name, values, body = found.groups()
        unrolled = "".join(body.replace("${" + name + "}", value) for value in values.split())
        text = text[: found.start()] + unrolled + text[found.end() :]
    folder = Path(file.path).parent
    return {(folder / name).as_posix() for name in re.findall(r"[\w./-]+\.(?:cc|cu)\b", text)}


def python_orphan(tree: Tree, file: Source) -> Iterator[Problem]:
    name, folder = Path(file.path).stem, Path(file.path).parent.as_posix()
    if file.is_in("bindings/tintype") or name in ("__init__", "conftest"):
        return
    if name.startswith("test_"):
        runners = ("Makefile", "pyproject.toml", "tests/CMakeLists.txt")
        if not any(folder in tree.text(runner) for runner in runners):
            yield Problem(file.path, 1, "orphan", f"nothing runs {folder}: name it in the Makefile")
        return
    others = (other.text for other in tree.files if other.path != file.path)
    if not any(re.search(rf"\b{name}\b", text) for text in others):
        yield Problem(file.path, 1, "orphan", "no file imports, runs or names it")


# --- documents ---


def named_files(tree: Tree) -> Iterator[Problem]:
    """A path from the root, in any file, names a file that exists."""
    folders = "base|io|kernels|engine|bindings|bench|tests|tools|docs|examples|cmake"
    path = rf"(?<![\w./<{{}}-])(?:{folders})/[\w./-]+\.(?:md|h|cc|py|pyi|sh|txt|cmake)\b"
    for file in tree.files:
        if file.is_in(TESTS_OF_TIDY) or file.path == RATCHET:
            continue
        for number, found in matches(path, file.text):
            if "#include" not in file.lines[number - 1] and not tree.exists(found.group()):
                yield Problem(file.path, number, "named file", f"{found.group()} does not exist")


def links(tree: Tree) -> Iterator[Problem]:
    for file in (file for file in tree.files if file.suffix == ".md"):
        folder = Path(file.path).parent
        for number, found in matches(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", file.text):
            target = found.group(1)
            if "://" not in target and not tree.exists((folder / target).as_posix()):
                yield Problem(file.path, number, "link", f"{target} does not exist")


def make_targets(tree: Tree) -> Iterator[Problem]:
    """`make NAME` in a document's code names a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", tree.text("Makefile"), re.MULTILINE))
    for file in tree.files:
        if file.suffix not in (".md", ".yml") and file.path != ".ci/run":
            continue
        for number, found in matches(r"(?:^(?:    |\$ )?|`)make ([a-z][a-z-]*)", file.text):
            if found.group(1) not in targets:
                yield Problem(
                    file.path, number, "make", f"the Makefile has no target {found.group(1)}"
                )


RULES: list[Callable[[Tree], Iterator[Problem]]] = [
    whitespace,
    words,
    banned_calls,
    layers,
    headers,
    orphans,
    sizes,
    named_files,
    links,
    make_targets,
]


def main(arguments: list[str]) -> int:
    roots = [argument for argument in arguments if argument != "--shrink"]
    tree = Tree(Path(roots[0]) if roots else Path(__file__).resolve().parent.parent)
    if "--shrink" in arguments:
        shrink_ratchet(tree)
        return 0
    problems = sorted(problem for rule in RULES for problem in rule(tree))
    for problem in problems:
        print(problem)
    count = f"{len(tree.files)} files, {len(RULES)} rules"
    print(f"tidy: {count}, {len(problems)} problems" if problems else f"tidy: {count}, no problem")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
