// Databases that cannot be used: one clear error each, and nothing is changed.
#include <boost/test/unit_test.hpp>

#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include <rowlock/error.hpp>

#include <support/sqlite_file.hpp>

using rowlock::connection_error;
using rowlock::schema_error;
using rowlock::test::sqlite_file;
using rowlock::test::temp_dir;
namespace fs = std::filesystem;

namespace {

std::string content(const fs::path& file) {
    std::ostringstream all;
    all << std::ifstream{file, std::ios::binary}.rdbuf();
    return all.str();
}

void write(const fs::path& file, const std::string& text) { std::ofstream{file, std::ios::binary} << text; }

// Every file below `directory` with what is in it.
std::map<std::string, std::string> everything_in(const fs::path& directory) {
    std::map<std::string, std::string> all;
    for (const auto& e : fs::recursive_directory_iterator{directory})
        all[e.path().string()] = e.is_regular_file() ? content(e.path()) : "";
    return all;
}

// `use` throws an Error that says all of `parts`.
template <class Error, class Use>
void check_says(Use use, std::initializer_list<std::string_view> parts) {
    BOOST_CHECK_EXCEPTION(use(), Error, [&](const Error& e) {
        for (const auto part : parts)
            BOOST_TEST(std::string_view{e.what()}.find(part) != std::string_view::npos,
                       "\"" << e.what() << "\" does not say \"" << part << '"');
        return true;
    });
}

template <class Error>
void check_cannot_be_opened(const temp_dir& directory, const fs::path& file,
                            std::initializer_list<std::string_view> parts) {
    const auto before = everything_in(directory.path());
    check_says<Error>([&] { (void)rowlock::open("sqlite:" + file.string()); }, parts);
    BOOST_TEST((everything_in(directory.path()) == before), "nothing is changed");
}

}  // namespace

BOOST_AUTO_TEST_CASE(control_a_good_database_opens) {
    const sqlite_file db;
    BOOST_TEST(db.open().try_acquire("n").has_value());
}

BOOST_AUTO_TEST_CASE(no_such_file) {
    const temp_dir directory;
    check_cannot_be_opened<connection_error>(directory, directory / "missing.db", {"missing.db", "rowlock migrate"});
}

BOOST_AUTO_TEST_CASE(no_such_directory) {
    const temp_dir directory;
    const auto file = directory / "missing" / "locks.db";
    check_cannot_be_opened<connection_error>(directory, file, {"missing", "directory"});
    check_says<connection_error>([&] { (void)rowlock::open_schema("sqlite:" + file.string()).migrate(); },
                                 {"missing", "directory"});
    BOOST_TEST(!fs::exists(directory / "missing"));
}

BOOST_AUTO_TEST_CASE(a_directory_in_place_of_the_file) {
    const temp_dir directory;
    fs::create_directory(directory / "locks.db");
    check_cannot_be_opened<connection_error>(directory, directory / "locks.db", {"locks.db"});
}

BOOST_AUTO_TEST_CASE(no_database_at_all) {
    const temp_dir directory;
    const auto file = directory / "notes.txt";
    write(file, std::string(8192, 'x') + " this is prose, not a database");
    check_cannot_be_opened<connection_error>(directory, file, {"notes.txt", "not a SQLite database"});
    const auto before = everything_in(directory.path());
    check_says<connection_error>([&] { (void)rowlock::open_schema("sqlite:" + file.string()).migrate(); },
                                 {"not a SQLite database"});
    BOOST_TEST((everything_in(directory.path()) == before));
}

BOOST_AUTO_TEST_CASE(urls_that_name_no_shared_file) {
    for (const auto* url : {"sqlite:", "sqlite::memory:", "sqlite:file:x?mode=memory"})
        BOOST_CHECK_THROW((void)rowlock::open(url), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(an_empty_file_is_not_migrated) {
    const temp_dir directory;
    write(directory / "empty.db", "");
    check_cannot_be_opened<schema_error>(directory, directory / "empty.db", {"0001_locks", "rowlock migrate"});
}

BOOST_AUTO_TEST_CASE(somebody_elses_database_is_not_migrated) {
    const temp_dir directory;
    const auto file = (directory / "app.db").string();
    SQLite::Database{file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE}.exec("CREATE TABLE users (id)");
    check_cannot_be_opened<schema_error>(directory, file, {"rowlock migrate"});
    BOOST_TEST(rowlock::open_schema("sqlite:" + file).migrate().size() ==
               rowlock::open_schema("sqlite:" + file).all().size());
    BOOST_CHECK_NO_THROW((void)rowlock::open("sqlite:" + file));
}

BOOST_AUTO_TEST_CASE(a_newer_schema) {
    const sqlite_file db;
    db.run("INSERT INTO rowlock_migration (number, name) VALUES (9, '0009_from_the_future')");
    check_says<schema_error>([&] { (void)db.open(); }, {"newer", "0009_from_the_future"});
    check_says<schema_error>([&] { (void)rowlock::open_schema(db.url()).migrate(); }, {"newer"});
    BOOST_TEST(db.ask("SELECT count(*) FROM rowlock_migration") == "2");
}

BOOST_AUTO_TEST_CASE(an_edited_step) {
    const sqlite_file db;
    db.run("UPDATE rowlock_migration SET checksum = 'other'");
    check_says<schema_error>([&] { (void)db.open(); }, {"0001_locks", "edited"});
}

BOOST_AUTO_TEST_CASE(a_history_without_its_first_step) {
    const sqlite_file db;
    db.run("UPDATE rowlock_migration SET number = 2, name = '0002_other'");
    check_says<schema_error>([&] { (void)db.open(); }, {"0002_other"});
}

BOOST_AUTO_TEST_CASE(a_step_that_was_run_by_hand_counts) {
    const temp_dir directory;
    const auto file = (directory / "locks.db").string();
    for (const auto& step : rowlock::open_schema("sqlite:" + file).all())
        SQLite::Database{file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE}.exec(std::string{step.sql});
    BOOST_TEST(rowlock::open("sqlite:" + file).try_acquire("n").has_value(), "also with a rollback journal");
    BOOST_TEST(rowlock::open_schema("sqlite:" + file).migrate().empty());
}

BOOST_AUTO_TEST_CASE(tables_that_vanish_under_an_open_provider) {
    const sqlite_file db;
    auto locks = db.open();
    db.run("DROP TABLE rowlock_lease");
    check_says<schema_error>([&] { (void)locks.try_acquire("n"); }, {"not migrated"});
}

BOOST_AUTO_TEST_CASE(a_damaged_database) {
    const sqlite_file db;
    {
        auto raw = db.raw();
        raw.exec("PRAGMA journal_mode = DELETE");
    }
    auto bytes = content(db.path());
    std::fill(bytes.begin() + 100, bytes.end(), '\xA5');
    write(db.path(), bytes);
    check_says<connection_error>([&] { (void)db.open().try_acquire("n"); }, {"damaged"});
}

BOOST_AUTO_TEST_CASE(a_database_that_somebody_else_keeps_locked) {
    const sqlite_file db;
    auto locks = db.open({.operation_timeout = std::chrono::milliseconds{100}});
    auto raw = db.raw();
    raw.exec("BEGIN IMMEDIATE");
    const auto started = std::chrono::steady_clock::now();
    check_says<connection_error>([&] { (void)locks.try_acquire("n"); }, {"locked by other transactions"});
    BOOST_TEST((std::chrono::steady_clock::now() - started < std::chrono::milliseconds{100} + rowlock::test::slack));
    raw.exec("ROLLBACK");
    BOOST_TEST(locks.try_acquire("n").has_value());
}
