"""Completions and the manual are made from the arguments themselves: they name all of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from program import COMMAND, OK, USAGE, run_command

MANUAL = COMMAND.with_name("tintype.1")


def commands() -> list[str]:
    lines = run_command("--help").stdout.splitlines()
    listed = lines[lines.index("Subcommands:") + 1 :]
    return [line.split()[0] for line in listed[: listed.index("")]]


def options_of(command: str) -> set[str]:
    text = run_command(command, "--help").stdout
    text = text[text.index("\nOptions:") :].split("\n\n")[0]
    lines = re.findall(r"^  (-[\w-]+(?:, -[\w-]+)*)", text, re.MULTILINE)
    return {name for line in lines for name in line.split(", ")}


def complete(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers behind these words, of which the last is being typed."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
        source <("{COMMAND}" completions bash)
        compopt() {{ :; }}
        COMP_WORDS=(tintype {quoted}); COMP_CWORD={len(words)}; _tintype
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


def test_bash_offers_commands_options_and_choices(tmp_path: Path) -> None:
    assert complete(tmp_path, "") == commands()
    assert complete(tmp_path, "in") == ["inspect"]
    assert complete(tmp_path, "--v") == ["--version"]
    assert complete(tmp_path, "completions", "") == ["bash", "zsh", "fish"]
    assert complete(tmp_path, "verify", "a.pth", "--q") == ["--quiet"]
    (tmp_path / "run").mkdir()
    (tmp_path / "running.txt").touch()
    assert complete(tmp_path, "ls", "ru") == ["run"]
    assert complete(tmp_path, "verify", "ru") == []  # bash's own: files


def test_bash_offers_every_option_of_every_command(tmp_path: Path) -> None:
    for command in commands():
        assert set(complete(tmp_path, command, "-")) == options_of(command)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_names_all_and_is_one_that_its_shell_can_read(shell: str) -> None:
    done = run_command("completions", shell)
    assert done.returncode == OK and done.stderr == ""
    for command in commands():
        for option in options_of(command):
            shown = option if shell != "fish" else re.sub("^--?", r" -[ls] ", option)
            assert re.search(shown + r"\b", done.stdout), (shell, command, option)
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here to read it")
    checked = subprocess.run([shell, "-n"], input=done.stdout, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stderr == "", checked.stderr


def test_another_shell_is_wrong_usage() -> None:
    done = run_command("completions", "tcsh")
    assert done.returncode == USAGE and "tcsh" in done.stderr


def test_the_manual_has_every_command_and_option_and_renders_without_warnings() -> None:
    if shutil.which("groff") is None:
        pytest.skip("no groff here to render it")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-c", "-P-b", "-P-u", str(MANUAL)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == "", done.stderr
    sections = re.findall(r"^(?:[A-Z]+ ?)+$", done.stdout, re.MULTILINE)
    assert sections == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS",
                        "ENVIRONMENT", "SEE ALSO"]  # fmt: skip
    text = re.sub("[\N{HYPHEN}\N{MINUS SIGN}]", "-", done.stdout)
    for command in commands():
        section = re.split(rf"\n   {command}\n", text)[1].split("\n\n   ")[0]
        assert section.split("\n")[0].strip().startswith(f"tintype {command} [OPTIONS]")
        found = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text[text.index(section) :]))
        assert options_of(command) <= found
