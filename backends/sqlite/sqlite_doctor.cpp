#include <array>
#include <filesystem>
#include <functional>
#include <string>

#include <SQLiteCpp/Database.h>
#include <sqlite3.h>
#include <unistd.h>

#include <rowlock/boot_clock.hpp>
#include <rowlock/error.hpp>

#include "arena.hpp"
#include "database_file.hpp"
#include "host.hpp"
#include "sqlite_entry.hpp"
#include "sqlite_schema.hpp"

namespace rowlock::sqlite {
namespace {

namespace fs = std::filesystem;

finding good(std::string what, std::string found) { return {severity::good, std::move(what), std::move(found), {}}; }

finding library_version() {
    const std::string version = sqlite3_libversion();
    if (sqlite3_libversion_number() >= 3037000) return good("SQLite", version);
    return {severity::problem, "SQLite", version, "use SQLite 3.37 or newer"};
}

finding boot_clock_source() {
    const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(boot_clock::now().time_since_epoch());
    auto found = "CLOCK_BOOTTIME, " + std::to_string(uptime.count()) + " s since boot " + boot_id();
    if (boot_clock::namespace_offset().count() != 0) found += ", time namespace corrected";
    return good("clock", std::move(found));
}

finding file_system(const fs::path& file) {
    const auto network = network_file_system(file.parent_path());
    if (network.empty()) return good("file system", "local");
    return {severity::problem, "file system", std::string{network} + ", which may be shared with other hosts",
            "put the database on a local disk, or use a database server"};
}

finding permissions(const fs::path& file) {
    if (access(file.c_str(), R_OK | W_OK) != 0)
        return {severity::problem, "permissions", "the file cannot be read and written by this user",
                "give this user read and write permission on " + file.string()};
    if (access(file.parent_path().c_str(), W_OK | X_OK) != 0)
        return {severity::problem, "permissions", "no file can be made in its directory by this user",
                "give this user write permission on " + file.parent_path().string() +
                    ", for the -wal, -shm and "
                    "-rowlock files"};
    return good("permissions", "readable and writable");
}

finding journal_mode(SQLite::Database& db) {
    const auto mode = db.execAndGet("PRAGMA journal_mode").getString();
    if (mode == "wal") return good("journal mode", mode);
    return {severity::advice, "journal mode", mode,
            "run `PRAGMA journal_mode = WAL` on it: in this mode waiting clients and writers block each other"};
}

finding schema_state(const fs::path& file, const options& opt) {
    schema s{std::make_unique<sqlite_target>(file, opt)};
    try {
        s.check();
    } catch (const schema_error& e) {
        return {severity::problem, "schema", e.what(), "run: rowlock migrate --db sqlite:" + file.string()};
    }
    return good("schema", std::string{s.all().back().name});
}

finding integrity(SQLite::Database& db) {
    const auto said = db.execAndGet("PRAGMA quick_check(1)").getString();
    if (said == "ok") return good("integrity", said);
    return {severity::problem, "integrity", said, "restore the file from a backup"};
}

finding wake_up_file(const fs::path& file) {
    auto arena = file;
    arena += "-rowlock";
    if (!fs::exists(arena)) return good("wake-up file", "not made yet");
    if (access(arena.c_str(), R_OK | W_OK) == 0) return good("wake-up file", arena.string());
    return {severity::problem, "wake-up file", arena.string() + " cannot be read and written by this user",
            "give this user read and write permission on it"};
}

}  // namespace

std::vector<finding> diagnose(std::string_view path, const options& opt) {
    std::vector<finding> all{library_version(), boot_clock_source()};
    const auto file = database_path(path);
    const auto look = [&](const char* what, const std::function<finding()>& f) {
        try {
            all.push_back(f());
            return true;
        } catch (const std::exception& e) {
            all.push_back({severity::problem, what, e.what(), "mend this first, then run doctor again"});
            return false;
        }
    };
    // It is told as a finding below, and must not end the examination.
    auto tolerant = opt;
    tolerant.allow_network_file_system = true;
    if (!look("file", [&] {
            check_file(file, tolerant);
            return good("file", file.string());
        }))
        return all;
    look("file system", [&] { return file_system(file); });
    look("permissions", [&] { return permissions(file); });
    look("wake-up file", [&] { return wake_up_file(file); });
    look("schema", [&] { return schema_state(file, tolerant); });
    try {
        SQLite::Database db{file.string(), SQLite::OPEN_READONLY};
        look("journal mode", [&] { return journal_mode(db); });
        look("integrity", [&] { return integrity(db); });
    } catch (const SQLite::Exception& e) {
        all.push_back({severity::problem, "database", e.what(), "mend this first, then run doctor again"});
    }
    return all;
}

}  // namespace rowlock::sqlite
