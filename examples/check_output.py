#!/usr/bin/env python3
"""Runs an example in a new directory and compares what it prints with the comment "Output:" at its end.

usage: check_output.py SOURCE COMMAND...; the directory is added as the last argument.
"""
import re
import subprocess
import sys
import tempfile

source, command = sys.argv[1], sys.argv[2:]
with open(source, encoding="utf-8") as file:
    expected = re.search(r"^(?:/\*|: <<'END') Output:\n(.*?)^(?:\*/|END)$", file.read(), re.DOTALL | re.MULTILINE)
if not expected or not expected[1].strip():
    sys.exit(f"{source} does not say what it prints")
with tempfile.TemporaryDirectory(prefix="rowlock-example-") as directory:
    result = subprocess.run(command + [directory], stdout=subprocess.PIPE, text=True, check=False)
if result.returncode != 0:
    sys.exit(f"exit status {result.returncode}")
if result.stdout != expected[1]:
    sys.exit(f"it printed\n{result.stdout}instead of\n{expected[1]}")
