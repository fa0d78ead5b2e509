// A lock for the length of a transaction: nothing to release, nothing to forget.

#include <pqxx/pqxx>
#include <rowlock/postgres.hpp>

#include <chrono>
#include <iostream>

using namespace std::chrono_literals;

static void pay(pqxx::connection& conn, const std::string& invoice) {
    pqxx::work tx{conn};
    if (!rowlock::postgres::try_lock(tx, "invoice:" + invoice, 50ms)) {
        std::cout << invoice << ": somebody else is at it\n";
        return;  // the transaction would still take statements
    }
    tx.exec("UPDATE invoice SET paid = true WHERE number = " + tx.quote(invoice));
    tx.commit();  // or a rollback: either way the lock is free
    std::cout << invoice << ": paid\n";
}

int main(int, char** argv) {
    pqxx::connection conn{argv[1]}, theirs{argv[1]};
    {
        pqxx::work tx{conn};
        tx.exec("CREATE TABLE invoice (number text, paid bool DEFAULT false)");
        tx.exec("INSERT INTO invoice VALUES ('41'), ('42')");
        tx.commit();
    }
    pqxx::work other{theirs};
    rowlock::postgres::lock(other, "invoice:42");  // waits without limit, here for nobody

    pay(conn, "41");
    pay(conn, "42");
    other.commit();
    pay(conn, "42");
}

/* Output:
41: paid
42: somebody else is at it
42: paid
*/
