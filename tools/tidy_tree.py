"""The project's files as tools/tidy.py's rules see them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True, order=True)
class Problem:
    path: str
    line: int
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.remedy}"


_CPP_NOISE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
    re.DOTALL | re.MULTILINE,
)


def _blank(noise: str) -> str:
    quote = noise[0] if noise[0] in "\"'" else ""
    return quote + re.sub(r"[^\n]", " ", noise[len(quote) :])


@dataclass  # not frozen: cached_property writes
class Source:
    """One text file. ``path`` is relative to the root, with forward slashes."""

    path: str
    text: str

    @property
    def suffix(self) -> str:
        return Path(self.path).suffix

    @property
    def is_cpp(self) -> bool:
        return self.suffix in (".cc", ".h", ".cu")

    def is_in(self, folder: str) -> bool:
        return self.path.startswith(folder + "/")

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def code(self) -> str:
        """C++ without comments, literals and macros, every line in its place."""
        return _CPP_NOISE.sub(lambda found: _blank(found.group()), self.text)


DATA = Path("tests/fuzz/corpus")  # any bytes at all, text among them


class Tree:
    """The project's text files: everything that .gitignore does not name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        ignore = root / ".gitignore"
        lines = ignore.read_text().split() if ignore.exists() else []
        self._ignored = [line.strip("/") for line in lines] + [".git"]
        self.files = [self._read(path) for path in sorted(self._walk(root))]
        self.by_path = {file.path: file for file in self.files}

    def _walk(self, folder: Path) -> Iterator[Path]:
        for path in folder.iterdir():
            if any(path.match(pattern) for pattern in self._ignored):
                continue
            if path.relative_to(self.root) == DATA:
                continue
            if path.is_dir() and not path.is_symlink():
                yield from self._walk(path)
            elif path.is_file() and b"\0" not in path.read_bytes()[:4096]:
                yield path

    def _read(self, path: Path) -> Source:
        return Source(path.relative_to(self.root).as_posix(), path.read_text(encoding="utf-8"))

    def text(self, path: str) -> str:
        return self.by_path[path].text if path in self.by_path else ""

    def exists(self, path: str) -> bool:
        return (self.root / path).exists()

    @property
    def cpp(self) -> Iterator[Source]:
        return (file for file in self.files if file.is_cpp)

    @property
    def python(self) -> Iterator[Source]:
        return (file for file in self.files if file.suffix == ".py")


def matches(pattern: str, text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """(line number, match) for each place where ``pattern`` stands."""
    for found in re.finditer(pattern, text, re.MULTILINE):
        yield text.count("\n", 0, found.start()) + 1, found
