// Writing safely even if the lock was lost: the write and the proof that the lock is still held are one transaction.
//
// Here a process is paused while it holds the lock, for longer than its lease lasts; a suspended laptop, a stopped
// container or a swapping machine do the same. Another one takes the lock meanwhile. When the first goes on, it does
// not know yet, and its write is refused.

#include <SQLiteCpp/SQLiteCpp.h>
#include <sys/wait.h>
#include <unistd.h>
#include <rowlock/rowlock.hpp>
#include <rowlock/sqlite.hpp>

#include <chrono>
#include <csignal>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

constexpr int wait_for_writers_ms = 5000;  // the lease is renewed in the same file now and then

static void write_stock(SQLite::Database& db, const rowlock::lock_handle& held, int count) {
    SQLite::Transaction tx{db, SQLite::TransactionBehavior::IMMEDIATE};
    rowlock::sqlite::fence(db, held);  // throws lock_lost, and then the transaction is rolled back
    db.exec("UPDATE stock SET count = " + std::to_string(count));
    tx.commit();
}

static void hold_and_be_paused(const std::string& file) {
    SQLite::Database db{file, SQLite::OPEN_READWRITE, wait_for_writers_ms};
    const auto held = rowlock::sqlite::open(file, {.ttl = 300ms}).acquire("stock");
    write_stock(db, held, 5);
    std::raise(SIGSTOP);
    try {
        write_stock(db, held, 4);
    } catch (const rowlock::lock_lost&) {
        std::cout << "not written: the lock was lost, " << to_string(held.lost_reason().value()) << std::endl;
    }
}

int main(int, char** argv) {
    const auto file = std::string{argv[1]} + "/shop.db";
    rowlock::sqlite::migrate(file);
    SQLite::Database{file, SQLite::OPEN_READWRITE}.exec(
        "CREATE TABLE stock (count INTEGER); INSERT INTO stock VALUES (0)");

    const pid_t first = fork();  // before anything is open here: neither SQLite nor rowlock goes along with a fork
    if (first == 0) {
        hold_and_be_paused(file);
        return 0;
    }
    waitpid(first, nullptr, WUNTRACED);  // until it is paused
    SQLite::Database db{file, SQLite::OPEN_READWRITE, wait_for_writers_ms};
    write_stock(db, rowlock::sqlite::open(file).acquire("stock"), 7);  // granted when the lease has ended
    kill(first, SIGCONT);
    waitpid(first, nullptr, 0);
    std::cout << "in stock: " << db.execAndGet("SELECT count FROM stock").getInt() << '\n';
}

/* Output:
not written: the lock was lost, expired
in stock: 7
*/
