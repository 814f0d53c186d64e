"""Each rule of tools/tidy.py fires on a small tree that breaks it, and only there."""

from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import tidy  # noqa: E402
import tidy_sizes  # noqa: E402
from tidy_tree import Source, Tree  # noqa: E402

CLEAN = {
    ".gitignore": "/build/\n__pycache__/\n",
    "Makefile": "test:  ## every test\n\t@python3 -m unittest tests/compat/test_a.py\n",
    "README.md": "See [the code](base/a.h), `make test`.\n",
    "base/CMakeLists.txt": "tintype_library(base SOURCES a.cc)\n",
    "base/a.cc": '#include "base/a.h"\n\nint a() { return 1; }\n',
    "base/a.h": "// A number.\n#pragma once\nint a();\n",
    "tests/compat/test_a.py": "",
    "build/generated.cc": "\tnot looked at ",
}


def problems(changes: dict[str, str]) -> list[str]:
    """`file:line: rule` of each problem of the clean tree with these files changed or added."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in {**CLEAN, **changes}.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        tree = Tree(Path(folder))
        found = sorted(problem for rule in tidy.RULES for problem in rule(tree))
        return [f"{problem.path}:{problem.line}: {problem.rule}" for problem in found]


def in_a(line: str) -> dict[str, str]:
    return {"base/a.cc": f'#include "base/a.h"\n{line}\n'}


class Rules(unittest.TestCase):
    def expect(self, changes: dict[str, str], *expected: str) -> None:
        self.assertEqual(problems(changes), list(expected))

    def test_clean_tree_has_no_problem(self) -> None:
        self.expect({})

    def test_trailing_blank_tab_and_missing_newline_are_found(self) -> None:
        self.expect(in_a("int b; "), "base/a.cc:2: whitespace")
        self.expect(in_a("\tint b;"), "base/a.cc:2: tab")
        self.expect({"base/a.h": "#pragma once"}, "base/a.h:1: end of file")

    def test_to_do_needs_an_issue(self) -> None:
        self.expect(in_a("// TODO: later"), "base/a.cc:2: to do")
        self.expect(in_a("// TODO(#12): later"))

    def test_machine_path_is_found(self) -> None:
        self.expect({"README.md": "In /home/ann/x.\n"}, "README.md:1: machine path")
        self.expect({"README.md": "In docs/home/x and ~/x.\n"})

    def test_banned_calls_are_found_in_code_only(self) -> None:
        banned = "assert(x);", "using namespace std;", "std::snprintf(b, 1, f);", "volatile int x;"
        for call in banned:
            self.expect(in_a(call), "base/a.cc:2: banned")
        fine = "static_assert(x);", "// assert(x)", 'auto t = "printf(";', "// isn't printf("
        for allowed in fine:
            self.expect(in_a(allowed))

    def test_std_filesystem_is_for_tests_and_tools(self) -> None:
        self.expect(in_a("std::filesystem::path p;"), "base/a.cc:2: banned")
        source = {
            "tests/CMakeLists.txt": "add_executable(t t.cc)\n",
            "tests/t.cc": "std::filesystem::path p;\n",
        }
        self.expect(source)

    def test_include_may_only_point_down(self) -> None:
        engine = {
            "engine/CMakeLists.txt": "x(e.cc)\n",
            "engine/e.cc": '#include "engine/e.h"\n#include "base/a.h"\n',
            "engine/e.h": "#pragma once\n",
        }
        self.expect(engine)
        self.expect({**engine, **in_a('#include "engine/e.h"')}, "base/a.cc:2: include")
        self.expect(in_a('#include "a.h"'), "base/a.cc:2: include")

    def test_archive_makes_no_system_calls_and_torch_stays_in_its_folder(self) -> None:
        def archive(include: str) -> dict[str, str]:
            source = f"#include {include}\n"
            return {"io/CMakeLists.txt": "x(archive/z.cc)\n", "io/archive/z.cc": source}

        self.expect(archive("<vector>"))
        self.expect(archive("<sys/stat.h>"), "io/archive/z.cc:1: include")
        self.expect(archive("<torch/torch.h>"), "io/archive/z.cc:1: include")

    def test_header_needs_pragma_once_and_comes_first_in_its_source(self) -> None:
        self.expect({"base/a.h": "int a();\n"}, "base/a.h:1: header")
        late = '#include <vector>\n#include "base/a.h"\n'
        self.expect({"base/a.cc": late}, "base/a.cc:1: header")

    def test_orphans_are_found(self) -> None:
        self.expect({"base/b.cc": ""}, "base/b.cc:1: orphan")
        self.expect({"base/b.h": "#pragma once\n"}, "base/b.h:1: orphan")
        self.expect({"tools/lonely.py": ""}, "tools/lonely.py:1: orphan")
        self.expect({"tests/unrun/test_b.py": ""}, "tests/unrun/test_b.py:1: orphan")

    def test_foreach_in_cmake_is_followed(self) -> None:
        loop = "foreach(name x y)\n  tintype_test(test_${name} test_${name}.cc)\nendforeach()\n"
        tests = {"tests/CMakeLists.txt": loop, "tests/test_x.cc": "", "tests/test_y.cc": ""}
        self.expect(tests)
        self.expect({**tests, "tests/test_z.cc": ""}, "tests/test_z.cc:1: orphan")

    def test_named_files_links_and_make_targets_must_exist(self) -> None:
        self.expect(in_a("// as base/none.h says"), "base/a.cc:2: named file")
        self.expect({"README.md": "[x](docs)\n"}, "README.md:1: link")
        self.expect({"README.md": "Run `make tea`.\n"}, "README.md:1: make")


class Sizes(unittest.TestCase):
    LONG_LINE = "// " + "x" * 98
    LONG_FUNCTION = "int f() {\n" + "  g();\n" * 59 + "}"

    def test_long_line_function_and_file_are_found(self) -> None:
        self.assertEqual(problems(in_a(self.LONG_LINE)), ["base/a.cc:2: size"])
        self.assertEqual(problems(in_a(self.LONG_FUNCTION)), ["base/a.cc:2: size"])
        self.assertEqual(problems(in_a("int x;\n" * 399 + "int x;")), ["base/a.cc:1: size"])
        python = {"tests/compat/test_a.py": "def f():\n" + "    g()\n" * 60}
        self.assertEqual(problems(python), ["tests/compat/test_a.py:1: size"])

    def test_ratchet_bears_the_size_that_it_names_and_no_other(self) -> None:
        def with_ratchet(entry: str) -> list[str]:
            return problems({**in_a(self.LONG_FUNCTION), "tools/ratchet.txt": entry + "\n"})

        self.assertEqual(with_ratchet("function base/a.cc f 61"), [])
        self.assertEqual(with_ratchet("function base/a.cc f 60"), ["base/a.cc:2: size"])
        self.assertEqual(with_ratchet("function base/a.cc f 62"), ["tools/ratchet.txt:1: ratchet"])

    def test_ratchet_entry_that_is_not_needed_is_found(self) -> None:
        found = problems({"tools/ratchet.txt": "# why\nlines base/a.cc 500\n"})
        self.assertEqual(found, ["tools/ratchet.txt:2: ratchet"])

    def test_shrinking_the_ratchet_lowers_and_removes(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "tools").mkdir()
            Path(folder, "a.cc").write_text(self.LONG_FUNCTION + "\n")
            ratchet = Path(folder, "tools/ratchet.txt")
            ratchet.write_text("# why\nfunction a.cc f 70\nlines a.cc 500\n")
            tidy_sizes.shrink_ratchet(Tree(Path(folder)))
            self.assertEqual(ratchet.read_text(), "# why\nfunction a.cc f 61\n")


class Functions(unittest.TestCase):
    def test_functions_of_cpp_are_told_from_other_braces(self) -> None:
        code = """namespace x {
struct S {
  S() : a_(1), b_{2} {
    f();
  }
  int a_ = 0;
  int b_{0};
};
constexpr int kTable[] = {1, 2};
template <typename T>
int twice(T value) {
  auto g = [&] { return value; };
  return g() + g();
}
Impl::Impl(int n)
    : n_(n),
      call_([this](int i) { go(i); }) {}
TEST(Thing, works) {
  if (a) { b(); }
}
}  // namespace x
"""
        found = list(tidy_sizes.functions(Source("a.cc", code)))
        expected = [("S", 3, 5), ("twice", 10, 14), ("Impl::Impl", 15, 17), ("Thing.works", 18, 20)]
        self.assertEqual(found, expected)


if __name__ == "__main__":
    unittest.main()
