"""Takes the C++ out of the documents, so that it is compiled with everything else.

usage: extract.py PROGRAM.cpp FRAGMENTS.cpp FILE.md...

A block with a main() is a whole program; there must be exactly one. Every other block becomes the body of a function
that is given what the documents talk about: locks, a held lock, a stop token, a job, a database, a connection with an open
transaction, one through ODBC. What needs a back end that this build does not have is left out.
"""
import pathlib
import re
import sys

program_file, fragments_file, *documents = sys.argv[1:]
programs, fragments = [], []
for document in documents:
    text = pathlib.Path(document).read_text(encoding="utf-8")
    for match in re.finditer(r"^```cpp\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, match.start(1)) + 1
        block = f'#line {line} "{document}"\n{match[1]}'
        (programs if "int main(" in block else fragments).append(block)
if len(programs) != 1 or not fragments:
    sys.exit(f"expected one program and some fragments, found {len(programs)} and {len(fragments)}")

prelude = """#include <SQLiteCpp/SQLiteCpp.h>
#include <rowlock/rowlock.hpp>
#include <rowlock/sqlite.hpp>
#ifdef ROWLOCK_HAVE_POSTGRES
#include <pqxx/pqxx>
#include <rowlock/postgres.hpp>
#else
namespace pqxx {
class connection;
class work;
}  // namespace pqxx
#endif

#ifdef ROWLOCK_HAVE_SQLSERVER
#include <rowlock/sqlserver.hpp>
#endif

using namespace std::chrono_literals;

namespace {
struct job_of_the_reader {
    void run() {}
    void stop() {}
};
}  // namespace

"""
parameters = (
    "[[maybe_unused]] rowlock::provider& locks, [[maybe_unused]] rowlock::lock_handle& held, "
    "[[maybe_unused]] std::stop_token stop_token, [[maybe_unused]] job_of_the_reader& job, "
    "[[maybe_unused]] SQLite::Database& db, [[maybe_unused]] pqxx::connection& conn, [[maybe_unused]] pqxx::work& tx, "
    "[[maybe_unused]] void* hdbc"
)


def function(n, block):
    text = (
        f"static void fragment_{n}({parameters}) {{ {{\n{block}}} }}\n"
        f"[[maybe_unused]] static const auto use_{n} = &fragment_{n};\n"
    )
    for needed in ("POSTGRES", "SQLSERVER"):
        if f"rowlock::{needed.lower()}" in block:
            text = f"#ifdef ROWLOCK_HAVE_{needed}\n{text}#endif\n"
    return text


bodies = "\n".join(function(n, block) for n, block in enumerate(fragments, start=1))
pathlib.Path(program_file).write_text(programs[0], encoding="utf-8")
pathlib.Path(fragments_file).write_text(prelude + bodies, encoding="utf-8")
