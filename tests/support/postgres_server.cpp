#include "postgres_server.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace rowlock::test {
namespace {

// For the shell.
std::string quoted(const std::string& text) {
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string{"'\\''"} : std::string{c};
    return out + "'";
}

std::string new_directory() {
    std::array<char, 32> name{"/tmp/rowlock-postgres-XXXXXX"};
    if (!mkdtemp(name.data())) throw std::runtime_error{"no temporary directory"};
    return name.data();
}

std::string script() { return quoted(ROWLOCK_TEST_POSTGRES_SERVER) + " "; }

}  // namespace

std::string postgres_server::run(const std::string& command) {
    FILE* pipe = popen(command.c_str(), "re");
    if (!pipe) throw std::runtime_error{"cannot run " + command};
    std::string out;
    std::array<char, 4096> part{};
    while (const auto n = fread(part.data(), 1, part.size(), pipe)) out.append(part.data(), n);
    if (pclose(pipe) != 0) throw std::runtime_error{command + " failed: " + out};
    while (out.ends_with('\n')) out.pop_back();
    return out;
}

postgres_server::postgres_server(const std::vector<std::string>& settings) : directory_{new_directory()} {
    auto command = script() + "start " + directory_;
    for (const auto& line : settings) command += " " + quoted(line);
    port_ = run(command);
}

postgres_server::postgres_server(standby_of s)
    : directory_{new_directory()},
      port_{run(script() + "standby " + directory_ + " " + s.primary.directory_ + " " + s.primary.port_)} {}

postgres_server::~postgres_server() {
    try {
        (void)run(script() + "remove " + directory_);
    } catch (const std::exception& e) {
        (void)fprintf(stderr, "%s\n", e.what());
    }
}

postgres_server& postgres_server::shared() {
    static postgres_server one;
    return one;
}

std::string postgres_server::new_database() {
    auto name = "d" + std::to_string(++databases_);
    (void)sql("postgres", "CREATE DATABASE " + name);
    return name;
}

std::string postgres_server::conninfo(const std::string& database, const std::string& more) const {
    return "host=" + directory_ + " port=" + port_ + " user=postgres dbname=" + database + " " + more;
}

std::string postgres_server::uri(const std::string& database) const {
    return "//postgres@/" + database + "?host=" + directory_ + "&port=" + port_;
}

std::string postgres_server::odbc_connection_string(const std::string& database) const {
    return "DRIVER={PostgreSQL Unicode};SERVER=" + directory_ + ";PORT=" + port_ + ";DATABASE=" + database +
           ";UID=postgres;";
}

std::string postgres_server::tcp_conninfo(const std::string& database, const std::string& more) const {
    return "host=127.0.0.1 port=" + port_ + " user=postgres dbname=" + database + " sslmode=disable " + more;
}

std::string postgres_server::pooler_conninfo(const std::string& mode, const std::string& database) {
    return "host=127.0.0.1 port=" + pooler_port(mode) + " user=postgres sslmode=disable dbname=" + database;
}

std::string postgres_server::pooler_uri(const std::string& mode, const std::string& database) {
    return "//postgres@127.0.0.1:" + pooler_port(mode) + "/" + database + "?sslmode=disable";
}

const std::string& postgres_server::pooler_port(const std::string& mode) {
    for (const auto& [known, port] : poolers_)
        if (known == mode) return port;
    return poolers_.emplace_back(mode, run(script() + "pooler " + directory_ + " " + port_ + " " + mode)).second;
}

void postgres_server::run_file(const std::string& database, const std::string& path) const {
    (void)run("psql -X -q -v ON_ERROR_STOP=1 -1 -d " + quoted(conninfo(database)) + " -f " + quoted(path));
}

std::string postgres_server::sql(const std::string& database, const std::string& text) const {
    return run("psql -X -q -A -t -v ON_ERROR_STOP=1 -d " + quoted(conninfo(database)) + " -c " + quoted(text));
}

std::string postgres_server::new_complaints() {
    std::ifstream log{directory_ + "/log"};
    const std::string all{std::istreambuf_iterator<char>{log}, {}};
    std::istringstream lines{all.substr(log_seen_)};
    log_seen_ = all.size();
    std::string found;
    for (std::string line; std::getline(lines, line);)
        for (const auto* level : {"WARNING:", "ERROR:", "FATAL:", "PANIC:"})
            if (line.find(level) != std::string::npos) found += line + "\n";
    return found;
}

void postgres_server::stop(const std::string& mode) { (void)run(script() + "stop " + directory_ + " " + mode); }

void postgres_server::restart(const std::string& mode) { (void)run(script() + "restart " + directory_ + " " + mode); }

}  // namespace rowlock::test
