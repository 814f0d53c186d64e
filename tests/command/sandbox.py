"""Runs a command as a container or a service manager would: system calls denied, limits lowered.

``python sandbox.py --deny ERRNO --memlock BYTES --file-size BYTES -- COMMAND ...``
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import resource
import struct

PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
CAP_IPC_LOCK = 14
IO_URING_CALLS = (425, 426, 427)  # setup, enter, register: the same on every architecture

# <linux/bpf_common.h> and <linux/seccomp.h>
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000

libc = ctypes.CDLL(None, use_errno=True)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def prctl(*arguments: object) -> None:
    if libc.prctl(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"prctl{arguments[:1]}")


def deny_io_uring(error_number: int) -> None:
    """Answers the calls of io_uring with this errno, as a seccomp profile does."""

    def instruction(code: int, if_true: int, if_false: int, operand: int) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, operand)

    count = len(IO_URING_CALLS)
    filter_bytes = instruction(LOAD_WORD, 0, 0, 0)
    for position, number in enumerate(IO_URING_CALLS):
        filter_bytes += instruction(JUMP_IF_EQUAL, count - position, 0, number)
    filter_bytes += instruction(RETURN, 0, 0, ALLOW)
    filter_bytes += instruction(RETURN, 0, 0, ERRNO | error_number)
    program = Program(len(filter_bytes) // 8, filter_bytes)
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)


def limit_locked_memory(size_bytes: int) -> None:
    """Also gives up the capability that lifts the limit; exec() makes that take effect."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (size_bytes, size_bytes))
    try:
        prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)
    except PermissionError:
        pass  # not root: there is nothing to give up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deny", metavar="ERRNO")
    parser.add_argument("--memlock", type=int)
    parser.add_argument("--file-size", type=int)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if options.memlock is not None:
        limit_locked_memory(options.memlock)
    if options.file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_size, options.file_size))
    if options.deny:
        deny_io_uring(getattr(errno, options.deny))
    os.execv(options.command[0], options.command)


if __name__ == "__main__":
    main()
