"""Sizes of lines, functions and files.

What is over a limit is borne where tools/ratchet.txt names it with its size, one per line:

    lines PATH COUNT            columns PATH LONG_LINE_COUNT            function PATH NAME COUNT

An entry shrinks with its file, and goes when it is no longer needed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tidy_tree import Problem, Source, Tree

COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = {".cc": 400, ".cu": 400, ".py": 400, ".h": 200}
RATCHET = "tools/ratchet.txt"


@dataclass(frozen=True)
class Excess:
    """A size over its limit. ``key`` is what the ratchet calls it."""

    key: str
    path: str
    line: int
    size: int
    remedy: str


def sizes(tree: Tree) -> Iterator[Problem]:
    borne = read_ratchet(tree)
    for excess in excesses(tree):
        allowed, number = borne.pop(excess.key, (0, 0))
        if excess.size > allowed:
            yield Problem(excess.path, excess.line, "size", excess.remedy)
        elif excess.size < allowed:
            yield Problem(RATCHET, number, "ratchet", f"lower '{excess.key}' to {excess.size}")
    for key, (_, number) in borne.items():
        yield Problem(RATCHET, number, "ratchet", f"'{key}' is no longer needed: remove it")


def read_ratchet(tree: Tree) -> dict[str, tuple[int, int]]:
    """What is borne: key to (size, line number)."""
    borne = {}
    for number, line in enumerate(tree.text(RATCHET).splitlines(), 1):
        if line and not line.startswith("#"):
            key, size = line.rsplit(maxsplit=1)
            borne[key] = (int(size), number)
    return borne


def shrink_ratchet(tree: Tree) -> None:
    """Writes each entry with the size that is true now where that is smaller."""
    true_sizes = {excess.key: excess.size for excess in excesses(tree)}
    comments = [line for line in tree.text(RATCHET).splitlines() if line.startswith("#")]
    entries = [
        f"{key} {min(size, true_sizes[key])}"
        for key, (size, _) in read_ratchet(tree).items()
        if key in true_sizes
    ]
    (tree.root / RATCHET).write_text("\n".join(comments + entries) + "\n")


def excesses(tree: Tree) -> Iterator[Excess]:
    for file in tree.files:
        limit = FILE_LINES_MAX.get(file.suffix)
        if limit is None:
            continue
        count = len(file.lines)
        if count > limit:
            remedy = f"{count} lines: split the file, {limit} is the limit"
            yield Excess(f"lines {file.path}", file.path, 1, count, remedy)
        long = [n for n, line in enumerate(file.lines, 1) if len(line) > COLUMNS_MAX]
        if long:
            remedy = f"{len(long)} lines over {COLUMNS_MAX} columns, this is the first: break them"
            yield Excess(f"columns {file.path}", file.path, long[0], len(long), remedy)
        yield from long_functions(file)


def long_functions(file: Source) -> Iterator[Excess]:
    for name, first, last in functions(file):
        count = last - first + 1
        if count > FUNCTION_LINES_MAX:
            remedy = f"{name} has {count} lines: split it, {FUNCTION_LINES_MAX} is the limit"
            yield Excess(f"function {file.path} {name}", file.path, first, count, remedy)


def functions(file: Source) -> Iterator[tuple[str, int, int]]:
    """(name, first line, last line) of each function; what is nested counts with its outer one."""
    if file.suffix == ".py":
        for node in ast.walk(ast.parse(file.text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, node.lineno, node.end_lineno or node.lineno
    elif file.is_cpp:
        yield from cpp_functions(file.code)


NOT_A_FUNCTION = re.compile(r"\s*(?:namespace|class|struct|enum|union|extern|export)\b")


def cpp_functions(code: str) -> Iterator[tuple[str, int, int]]:
    """A brace opens a function where it stands in a namespace or class, behind a head with `)`."""
    head_start = depth = opened_at = 0  # depth: of braces inside the function; 0 outside
    for position in (found.start() for found in re.finditer(r"[;{}]", code)):
        character = code[position]
        if depth == 0 and character == "{" and is_function_head(code[head_start:position]):
            depth, opened_at = 1, position
        elif depth > 0:
            depth += {"{": 1, "}": -1, ";": 0}[character]
            if depth > 0:
                continue
            head = code[head_start:opened_at]
            following = code[position + 1 :].lstrip()[:1]
            if following in (",", "{") or head.count("(") != head.count(")"):
                continue  # was inside the head: a member's initialiser
            first = code.count("\n", 0, head_start + len(head) - len(head.lstrip())) + 1
            yield function_name(head), first, code.count("\n", 0, position) + 1
            head_start = position + 1
        else:
            head_start = position + 1


def is_function_head(head: str) -> bool:
    without_template = re.sub(r"^\s*template\s*<.*?>\s*(?=\w)", "", head, flags=re.DOTALL)
    if NOT_A_FUNCTION.match(without_template) and "(" not in without_template:
        return False
    return ")" in head and not re.search(r"(?<![=!<>])=\s*$", head)


def function_name(head: str) -> str:
    """The name in front of the first parenthesis; a GoogleTest case is named in full."""
    test = re.search(r"\b(?:TEST|TEST_F|TEST_P|NB_MODULE)\(([^)]*)\)", head)
    if test:
        return re.sub(r",\s*", ".", test.group(1).strip())
    found = re.search(r"([\w:~]+|operator\s*\S+?)\s*\(", head)
    return found.group(1) if found else "?"
