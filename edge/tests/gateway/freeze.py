"""Starts a program, freezes those of its threads whose name begins so, and waits for its end.

freeze.py THREAD SECONDS PROGRAM ARGUMENTS...
Prints the exit status and the seconds from freezing to the end, or `cannot: why`. When it goes on for so many seconds, it
is killed, and the status is -1.
"""

import ctypes
import os
import sys
import time

SEIZE, INTERRUPT = 0x4206, 0x4207  # ptrace(2)
ALL_THREADS = 0x40000000  # __WALL of waitpid(2)


def threads(pid, name):
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm") as comm:
            if comm.read().startswith(name):
                found.append(int(thread))
    return found


def main():
    name, patience, program = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    pid = os.posix_spawn(program[0], program, os.environ)
    # Long enough for all of it to run.
    time.sleep(4)
    found = threads(pid, name)
    if not found:
        os.kill(pid, 9)
        sys.exit(f"no thread is called {name}")
    for thread in found:
        for request in (SEIZE, INTERRUPT):
            if libc.ptrace(request, thread, None, None) != 0:
                print("cannot: ptrace:", os.strerror(ctypes.get_errno()))
                os.kill(pid, 9)
                return
    began = time.monotonic()
    while time.monotonic() - began < patience:
        # Frozen threads, when they are killed with the process, have to be fetched before it.
        ended, status = os.waitpid(-1, os.WNOHANG | ALL_THREADS)
        if ended == pid and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
            print(os.waitstatus_to_exitcode(status), time.monotonic() - began)
            return
        if ended == 0:
            time.sleep(0.02)
    os.kill(pid, 9)
    print(-1, patience)


main()
