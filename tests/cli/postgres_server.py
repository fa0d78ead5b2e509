"""A real PostgreSQL server for the tests of the command."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "support" / "postgres_server"


class PostgresServer:
    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="rowlock-cli-postgres-"))
        self.port = self.script("start", self.directory).strip()
        self.databases = 0
        self.log_seen = 0

    @staticmethod
    def script(*arguments):
        return subprocess.run([SCRIPT, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True).stdout

    def remove(self):
        self.script("remove", self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self, mode):
        self.script("stop", self.directory, mode)

    def restart(self):
        self.script("restart", self.directory)

    def rest(self, database, user="postgres", host=None):
        """What stands behind the scheme of a URL."""
        return f"//{user}@/{database}?host={host or self.directory}&port={self.port}"

    def psql(self, database, sql, user="postgres"):
        return subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                               "-d", f"host={self.directory} port={self.port} user={user} dbname={database}"],
                              input=sql, capture_output=True, text=True, check=True).stdout.strip()

    def new_database(self):
        self.databases += 1
        self.psql("postgres", f"CREATE DATABASE d{self.databases}")
        return f"d{self.databases}"

    def ask_for_password(self, role, password):
        self.psql("postgres", f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        rules = self.directory / "data" / "pg_hba.conf"
        rules.write_text(f"local all {role} scram-sha-256\n" + rules.read_text())
        self.psql("postgres", "SELECT pg_reload_conf()")

    def new_errors(self):
        """The lines of level ERROR and above that have come into the server's log."""
        text = (self.directory / "log").read_text()
        seen, self.log_seen = self.log_seen, len(text)
        return [line for line in text[seen:].splitlines() if re.search(r"\b(ERROR|FATAL|PANIC): ", line)]


def is_installed():
    return shutil.which("initdb") is not None or any(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
