// File systems on which SQLite's locking is not reliable are refused. The kernel's answer is made up here: mounting one
// needs a server.
#include <boost/test/unit_test.hpp>

#include <cstring>
#include <string_view>

#include <dlfcn.h>
#include <sys/vfs.h>

#include <rowlock/error.hpp>

#include <host.hpp>
#include <support/sqlite_file.hpp>

namespace {

long pretended_type = 0;  // 0: the truth

template <class Result>
int ask_kernel(const char* symbol, const char* path, Result* result) {
    const auto real = reinterpret_cast<int (*)(const char*, Result*)>(dlsym(RTLD_NEXT, symbol));
    const int outcome = real(path, result);
    if (outcome == 0 && pretended_type != 0) result->f_type = pretended_type;
    return outcome;
}

struct pretend {
    explicit pretend(long type) { pretended_type = type; }
    ~pretend() { pretended_type = 0; }
};

}  // namespace

// In place of the C library's, for the whole program.
extern "C" int statfs64(const char* path, struct statfs64* result) noexcept {
    return ask_kernel("statfs64", path, result);
}

using rowlock::sqlite::network_file_system;

BOOST_AUTO_TEST_CASE(network_types_are_known_and_local_ones_are_not) {
    BOOST_TEST(network_file_system(0x6969L) == "NFS");
    BOOST_TEST(network_file_system(0xFF534D42L) == "CIFS");
    BOOST_TEST(network_file_system(static_cast<long>(static_cast<int>(0xFF534D42U))) == "CIFS",
               "where long has 32 bits");
    BOOST_TEST(network_file_system(0xFE534D42L) == "SMB2");
    BOOST_TEST(network_file_system(0x01021997L) == "9P");
    BOOST_TEST(network_file_system(0x65735546L) == "FUSE");
    BOOST_TEST(network_file_system(0x00C36400L) == "Ceph");
    for (const long local : {0xEF53L, 0x58465342L, 0x9123683EL, 0x01021994L, 0x794C7630L, 0x2FC12FC1L, 0L})
        BOOST_TEST(network_file_system(local).empty());
}

BOOST_AUTO_TEST_CASE(a_database_on_one_is_refused_with_the_reason) {
    const rowlock::test::sqlite_file db;
    const pretend nfs{0x6969};
    const auto says_why = [](const rowlock::connection_error& e) {
        const std::string_view what{e.what()};
        return what.find("NFS") != what.npos && what.find("allow_network_file_system") != what.npos;
    };
    BOOST_CHECK_EXCEPTION((void)db.open(), rowlock::connection_error, says_why);
    BOOST_CHECK_EXCEPTION((void)rowlock::open_schema(db.url()).migrate(), rowlock::connection_error, says_why);
}

BOOST_AUTO_TEST_CASE(control_it_opens_when_that_is_asked_for_and_where_it_is_local) {
    const rowlock::test::sqlite_file db;
    BOOST_CHECK_NO_THROW((void)db.open());
    const pretend nfs{0x6969};
    BOOST_TEST(db.open({.allow_network_file_system = true}).try_acquire("n").has_value());
}
