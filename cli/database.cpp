#include "database.hpp"

#include <cstdlib>
#include <string_view>
#include <system_error>

#include <sys/stat.h>

#include <rowlock/error.hpp>
#include <rowlock/schema.hpp>

#include "report.hpp"

namespace rowlock::cli {
namespace {

std::string_view environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

std::filesystem::path state_directory() {
    // The specification has relative paths ignored.
    if (std::filesystem::path state{environment("XDG_STATE_HOME")}; state.is_absolute()) return state;
    if (const std::filesystem::path home{environment("HOME")}; home.is_absolute()) return home / ".local" / "state";
    throw usage_error{
        "no database: give --db URL or set ROWLOCK_DB (the default one would be in the user's state directory, but "
        "neither XDG_STATE_HOME nor HOME is set to an absolute path)"};
}

// Like `mkdir -p`, but for the user alone: the names of locks and who holds them are nobody else's business.
void create_private_directories(const std::filesystem::path& directory) {
    if (std::filesystem::is_directory(directory)) return;
    if (directory.has_parent_path() && directory.parent_path() != directory)
        create_private_directories(directory.parent_path());
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
        throw std::system_error{errno, std::generic_category(),
                                "cannot create the directory " + directory.string() +
                                    " for the default database (--db URL or ROWLOCK_DB names another one)"};
}

}  // namespace

database choose_database(const std::string& given) {
    if (!given.empty()) return {.url = given};
    if (const auto url = environment("ROWLOCK_DB"); !url.empty()) return {.url = std::string{url}};
#ifdef ROWLOCK_HAVE_SQLITE
    auto file = state_directory() / "rowlock" / "locks.db";
    auto url = "sqlite:" + file.string();
    return {.url = std::move(url), .default_file = std::move(file)};
#else
    (void)&state_directory;
    throw usage_error{"no database: give --db URL or set ROWLOCK_DB (this build has no SQLite for a default one)"};
#endif
}

void make_room(const database& db) {
    if (db.default_file.empty()) return;
    try {
        create_private_directories(db.default_file.parent_path());
    } catch (const std::system_error& e) {
        throw connection_error{e.what()};
    }
}

void prepare(const database& db, const options& opt) {
    if (db.default_file.empty()) return;
    make_room(db);
    (void)open_schema(db.url, opt).migrate();
}

}  // namespace rowlock::cli
