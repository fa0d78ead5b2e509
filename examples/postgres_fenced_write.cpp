// Writing safely to PostgreSQL even if the lock was lost; see fenced_write.cpp for the story.

#include <sys/wait.h>
#include <unistd.h>
#include <pqxx/pqxx>
#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>

#include <chrono>
#include <csignal>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

static void write_stock(pqxx::connection& conn, const rowlock::lock_handle& held, int count) {
    pqxx::work tx{conn};
    rowlock::postgres::fence(tx, held);  // throws lock_lost, and then the transaction is rolled back
    tx.exec("UPDATE stock SET count = " + std::to_string(count));
    tx.commit();  // until here nobody else could take the lock
}

static void hold_and_be_paused(const std::string& database) {
    pqxx::connection conn{database};
    const auto held = rowlock::postgres::leases_on(conn, {.ttl = 300ms}).acquire("stock");
    write_stock(conn, held, 5);
    std::raise(SIGSTOP);
    try {
        write_stock(conn, held, 4);
    } catch (const rowlock::lock_lost&) {
        std::cout << "not written: the lock was lost, " << to_string(held.lost_reason().value()) << std::endl;
    }
}

int main(int, char** argv) {
    const std::string database = argv[1];
    const pid_t first = fork();  // before anything is open here
    if (first == 0) {
        pqxx::connection conn{database};
        rowlock::postgres::migrate(conn);
        pqxx::nontransaction{conn}.exec("CREATE TABLE stock (count int); INSERT INTO stock VALUES (0)");
        hold_and_be_paused(database);
        return 0;
    }
    waitpid(first, nullptr, WUNTRACED);  // until it is paused
    pqxx::connection conn{database};
    write_stock(conn, rowlock::postgres::leases_on(conn).acquire("stock"), 7);  // granted when the lease has ended
    kill(first, SIGCONT);
    waitpid(first, nullptr, 0);
    std::cout << "in stock: " << pqxx::nontransaction{conn}.exec("SELECT count FROM stock")[0][0].as<int>() << '\n';
}

/* Output:
not written: the lock was lost, expired
in stock: 7
*/
