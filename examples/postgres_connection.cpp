// A program that has a connection to PostgreSQL already: locks in its session, beside its own work.

#include <pqxx/pqxx>
#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>

#include <iostream>

int main(int, char** argv) {
    pqxx::connection conn{argv[1]};  // outlives the provider

    rowlock::provider locks = rowlock::postgres::advisory_on(conn);
    auto held = locks.acquire("nightly-report");  // between transactions, not inside one

    pqxx::work tx{conn};
    tx.exec("CREATE TABLE report (line text)");
    tx.exec("INSERT INTO report VALUES ('all is well')");
    tx.commit();  // the lock stays: it is the session's

    std::cout << "held: " << (held.lost().stop_requested() ? "no" : "yes") << '\n';

    // Somebody else, on another connection.
    pqxx::connection theirs{argv[1]};
    rowlock::provider other = rowlock::postgres::advisory_on(theirs);
    std::cout << "they: " << (other.try_acquire("nightly-report") ? "in" : "busy") << '\n';
    held.release();
    std::cout << "they: " << (other.try_acquire("nightly-report") ? "in" : "busy") << '\n';
}

/* Output:
held: yes
they: busy
they: in
*/
