"""Whether the system calls that a daemon made in its life are those that its unit lets it make.

In: what `strace -f` wrote, the unit. Out: the exit status 1 and the calls that the unit's filter would have refused.
Keeps: the filter is read as systemd reads it: line by line, a line with a tilde takes away, and sets hold sets.
"""

import re
import subprocess
import sys
from pathlib import Path

# What systemd always lets through where there is a list of what may pass.
ALWAYS = ["@default"]


def sets():
    said = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], capture_output=True, text=True, check=True)
    found, name = {}, None
    for line in said.stdout.splitlines():
        if line.startswith("@"):
            name = line.strip()
            found[name] = []
        elif name and line.strip() and not line.strip().startswith("#"):
            found[name].append(line.strip())
    return found


def calls(word, known):
    if not word.startswith("@"):
        return {word}
    return set().union(*(calls(part, known) for part in known[word]))


def allowed(unit, known):
    may = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.M):
        named = set().union(*(calls(word, known) for word in line.removeprefix("~").split()))
        may = may - named if line.startswith("~") else may | named
    return may.union(*(calls(word, known) for word in ALWAYS))


def main():
    trace, unit = (Path(argument).read_text(errors="replace") for argument in sys.argv[1:])
    made = set(re.findall(r"^\d+\s+(\w+)\(", trace, re.M))
    refused = made - allowed(unit, sets())
    if refused or not made:
        sys.exit(f"the unit's filter refuses what the daemon calls: {', '.join(sorted(refused)) or 'nothing was traced'}")
    print(f"  {len(made)} system calls, all of them within the unit's filter")


main()
