"""Writes a C++ source with the text of every migration and its SHA-256.

usage: embed.py DATABASE OUTPUT.cpp FILE.sql...
"""
import hashlib
import pathlib
import re
import sys

database, output, *files = sys.argv[1:]
steps = []
for number, path in enumerate(map(pathlib.Path, sorted(files)), start=1):
    if not re.fullmatch(rf"{number:04d}_[a-z0-9_]+", path.stem):
        sys.exit(f"{path}: expected a name like {number:04d}_what.sql; numbers start at 0001 and leave no gap")
    sql = path.read_text(encoding="utf-8")
    if ')sql"' in sql:
        sys.exit(f"{path}: contains the end of the raw string it would be written in")
    checksum = hashlib.sha256(sql.encode()).hexdigest()
    steps.append(f'    {{{number}, "{path.stem}", R"sql({sql})sql", "{checksum}"}},\n')

pathlib.Path(output).write_text(
    "#include <array>\n#include <rowlock/schema.hpp>\n\n"
    f"namespace rowlock::{database} {{\n\n"
    f"std::span<const migration> migrations() {{\n"
    f"    static constexpr std::array<migration, {len(steps)}> steps{{{{\n{''.join(steps)}    }}}};\n"
    "    return steps;\n}\n\n"
    f"}}  // namespace rowlock::{database}\n",
    encoding="utf-8",
)
