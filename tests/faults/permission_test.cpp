// Databases that this user may read and not write, and disks without room.
#include <boost/test/unit_test.hpp>

#include <cstring>
#include <fstream>
#include <functional>

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rowlock/error.hpp>

#include <support/fork_under_tsan.hpp>
#include <support/sqlite_file.hpp>

using rowlock::connection_error;
using rowlock::test::sqlite_file;
using rowlock::test::temp_dir;
namespace fs = std::filesystem;

namespace {

// What `f` says in a process of a user who owns nothing; for root no file is read-only.
std::string as_nobody(const std::function<std::string()>& f) {
    int ends[2];
    BOOST_REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const auto pid = fork();
    if (pid == 0) {
        std::string said;
        try {
            if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
                said = "cannot become another user";
            else
                said = f();
        } catch (const connection_error& e) {
            said = std::string{"connection_error: "} + e.what();
        } catch (const std::exception& e) {
            said = std::string{"exception: "} + e.what();
        }
        (void)!write(ends[1], said.data(), said.size());
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) said.append(buffer, static_cast<std::size_t>(n));
    close(ends[0]);
    waitpid(pid, nullptr, 0);
    return said;
}

std::string acquires(const std::string& url) {
    return as_nobody([&] { return rowlock::open(url).try_acquire("n") ? "granted" : "busy"; });
}

// A database in DELETE mode, so that no file lies beside it, with the given permissions.
struct closed_database {
    closed_database(fs::perms file, fs::perms directory) {
        db.raw().exec("PRAGMA journal_mode = DELETE");
        fs::permissions(db.path(), file);
        fs::permissions(db.directory().path(), directory);
    }
    ~closed_database() { fs::permissions(db.directory().path(), fs::perms::owner_all); }
    closed_database(const closed_database&) = delete;
    closed_database& operator=(const closed_database&) = delete;
    sqlite_file db;
};

constexpr auto read_only = fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read;
constexpr auto read_only_directory = read_only | fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec;

std::size_t files_in(const fs::path& directory) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator{directory}, fs::directory_iterator{}));
}

boost::test_tools::assertion_result may_mount(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result yes{geteuid() == 0};
    yes.message() << "only root can mount a small file system";
    return yes;
}

// A file system with room for hardly more than the database.
class small_disk {
public:
    small_disk() {
        // Nobody else need see it, and it goes with this process.
        BOOST_REQUIRE(unshare(CLONE_NEWNS) == 0);
        BOOST_REQUIRE(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
        BOOST_REQUIRE(mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=1m") == 0);
    }
    ~small_disk() { umount2(directory_.path().c_str(), MNT_DETACH); }
    small_disk(const small_disk&) = delete;
    small_disk& operator=(const small_disk&) = delete;

    fs::path operator/(const std::string& name) const { return directory_ / name; }
    // Takes all the room there is.
    void fill() const {
        std::ofstream filler{directory_ / "filler", std::ios::binary};
        const std::string block(4096, 'x');
        while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
        }
    }
    void make_room() const { fs::remove(directory_ / "filler"); }

private:
    temp_dir directory_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(control_with_permission_another_user_can_lock) {
    closed_database it{fs::perms::all, fs::perms::all};
    BOOST_TEST(acquires(it.db.url()) == "granted");
}

BOOST_AUTO_TEST_CASE(a_read_only_file_is_said_to_be_one) {
    closed_database it{read_only, fs::perms::all};
    const auto said = acquires(it.db.url());
    BOOST_TEST(said.starts_with("connection_error"), said);
    BOOST_TEST(said.find("read-only") != std::string::npos, said);
    BOOST_TEST(files_in(it.db.directory().path()) == 1U, "nothing was made beside it");
}

BOOST_AUTO_TEST_CASE(a_read_only_directory_is_refused) {
    closed_database it{read_only, read_only_directory};
    const auto said = acquires(it.db.url());
    BOOST_TEST(said.starts_with("connection_error"), said);
    BOOST_TEST(said.find("permission") != std::string::npos, said);
    BOOST_TEST(files_in(it.db.directory().path()) == 1U);
}

BOOST_AUTO_TEST_CASE(a_directory_that_may_not_be_entered) {
    closed_database it{fs::perms::all, fs::perms::owner_all};
    BOOST_TEST(acquires(it.db.url()).starts_with("connection_error"));
}

BOOST_AUTO_TEST_CASE(a_read_only_database_is_not_migrated) {
    const temp_dir directory;
    const auto file = (directory / "app.db").string();
    SQLite::Database{file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE}.exec("CREATE TABLE users (id)");
    fs::permissions(file, read_only);
    fs::permissions(directory.path(), fs::perms::all);
    const auto said =
        as_nobody([&] { return std::to_string(rowlock::open_schema("sqlite:" + file).migrate().size()); });
    BOOST_TEST(said.starts_with("connection_error"), said);
    BOOST_TEST(said.find("read-only") != std::string::npos, said);
}

BOOST_AUTO_TEST_CASE(what_one_user_made_beside_it_another_can_use) {
    closed_database it{fs::perms::all, fs::perms::all};
    auto locks = it.db.open();  // makes PATH-rowlock
    const auto held = locks.acquire("held");
    BOOST_TEST(acquires(it.db.url()) == "granted");
    BOOST_TEST(as_nobody([&] { return it.db.open().try_acquire("held") ? "granted" : "busy"; }) == "busy");
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_an_error_and_nothing_worse, *boost::unit_test::precondition(may_mount)) {
    const small_disk disk;
    const auto file = disk / "locks.db";
    rowlock::sqlite::migrate(file);
    const auto url = "sqlite:" + file.string();
    auto locks = rowlock::open(url);
    auto held = std::make_optional(locks.acquire("held"));
    disk.fill();
    std::string said;
    std::vector<rowlock::lock_handle> some;
    try {
        for (int i = 0; i < 10000; ++i) some.push_back(locks.acquire("n" + std::to_string(i)));
    } catch (const connection_error& e) {
        said = e.what();
    }
    BOOST_TEST(said.find("full") != std::string::npos, "said: " << said);
    BOOST_CHECK_NO_THROW(held->verify());
    BOOST_TEST(!locks.try_acquire("held"), "who looks needs no room");
    disk.make_room();
    BOOST_TEST(locks.try_acquire("later").has_value(), "it recovers");
    held.reset();
    BOOST_TEST(locks.try_acquire("held").has_value());
}

BOOST_AUTO_TEST_CASE(a_disk_without_room_for_the_first_lock, *boost::unit_test::precondition(may_mount)) {
    const small_disk disk;
    const auto file = disk / "locks.db";
    rowlock::sqlite::migrate(file);
    disk.fill();
    BOOST_CHECK_THROW((void)rowlock::open("sqlite:" + file.string()), connection_error);
    disk.make_room();
    BOOST_TEST(rowlock::open("sqlite:" + file.string()).try_acquire("n").has_value());
}
