// A program of somebody else's: it knows the library by what is installed of it only.
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>

#include <rowlock/rowlock.hpp>
#if __has_include(<rowlock/sqlite.hpp>)
#include <rowlock/sqlite.hpp>
#endif
#if __has_include(<rowlock/postgres.hpp>)
#include <rowlock/postgres.hpp>
#endif
#if __has_include(<rowlock/sqlserver.hpp>)
#include <rowlock/sqlserver.hpp>
#endif

namespace {

// Whether `locks` really locks: the second taker must be turned away until the first one is done.
bool works(rowlock::provider locks) {
    rowlock::mutex door{locks, "door"};
    auto held = door.try_acquire();
    if (!held || !held->token()) return false;
    if (door.try_acquire()) return false;
    held->release();
    return door.try_acquire().has_value();
}

}  // namespace

// Prints the version and the back ends that work.
int main(int argc, char** argv) try {
    if (argc != 2) {
        std::cerr << "usage: consumer EMPTY_DIRECTORY\n";
        return 2;
    }
    std::cout << ROWLOCK_VERSION;
    if (works(rowlock::open("memory:"))) std::cout << " memory";

    // An exception must be caught as what it is across the boundary of a shared library.
    try {
        (void)rowlock::open("sqlite:" + (std::filesystem::path{argv[1]} / "missing" / "locks.db").string());
    } catch (const rowlock::connection_error&) {
        std::cout << " connection_error";
    } catch (const std::invalid_argument&) {
        std::cout << " invalid_argument";
    }

#if __has_include(<rowlock/sqlite.hpp>)
    const auto file = std::filesystem::path{argv[1]} / "locks.db";
    rowlock::sqlite::migrate(file);
    if (works(rowlock::sqlite::open(file))) std::cout << " sqlite";
#endif
#if __has_include(<rowlock/postgres.hpp>)
    // No server is needed to see that the library found its libpq.
    try {
        (void)rowlock::postgres::leases("host=" + (std::filesystem::path{argv[1]} / "missing").string());
    } catch (const rowlock::connection_error&) {
        std::cout << " postgres";
    }
#endif
#if __has_include(<rowlock/sqlserver.hpp>)
    // Nor a driver, to see that it found its driver manager.
    try {
        (void)rowlock::sqlserver::applock("DRIVER={no such driver}");
    } catch (const rowlock::connection_error&) {
        std::cout << " sqlserver";
    }
#endif
    std::cout << '\n';
    return EXIT_SUCCESS;
} catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return EXIT_FAILURE;
}
