// A program that has a connection to SQL Server already, through ODBC: a lock for the length of a transaction, and one
// for longer.

#include <sql.h>
#include <sqlext.h>

#include <rowlock/rowlock.hpp>
#include <rowlock/sqlserver.hpp>

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

// As the program would have it, in whatever way.
static SQLHDBC connect(SQLHENV environment, std::string to) {
    SQLHDBC connection = nullptr;
    SQLAllocHandle(SQL_HANDLE_DBC, environment, &connection);
    if (!SQL_SUCCEEDED(SQLDriverConnect(connection, nullptr, reinterpret_cast<SQLCHAR*>(to.data()), SQL_NTS, nullptr, 0,
                                        nullptr, SQL_DRIVER_NOPROMPT)))
        throw std::runtime_error{"cannot connect"};
    return connection;
}

static void run(SQLHDBC connection, std::string sql) {
    SQLHSTMT statement = nullptr;
    SQLAllocHandle(SQL_HANDLE_STMT, connection, &statement);
    SQLExecDirect(statement, reinterpret_cast<SQLCHAR*>(sql.data()), SQL_NTS);
    SQLFreeHandle(SQL_HANDLE_STMT, statement);
}

static void pay(SQLHDBC connection, const std::string& invoice) {
    run(connection, "BEGIN TRANSACTION");  // or SQL_ATTR_AUTOCOMMIT off
    if (rowlock::sqlserver::try_lock(connection, "invoice:" + invoice, 50ms)) {
        run(connection, "UPDATE invoice SET paid = 1 WHERE number = " + invoice);
        std::cout << invoice << ": paid\n";
    } else {
        std::cout << invoice << ": somebody else is at it\n";  // the transaction would still take statements
    }
    run(connection, "COMMIT");  // or a rollback: either way the lock is free
}

int main(int, char** argv) {  // NOLINT(bugprone-exception-escape): an example need not handle errors
    SQLHENV environment = nullptr;
    SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &environment);
    SQLSetEnvAttr(environment, SQL_ATTR_ODBC_VERSION, reinterpret_cast<SQLPOINTER>(SQL_OV_ODBC3), 0);
    SQLHDBC connection = connect(environment, argv[1]);  // outlives the provider
    run(connection, "CREATE TABLE invoice (number int, paid int)");
    run(connection, "INSERT INTO invoice VALUES (41, 0), (42, 0)");

    rowlock::provider others = rowlock::sqlserver::applock(argv[1]);  // somebody else
    auto theirs = others.acquire("invoice:42");
    pay(connection, "41");
    pay(connection, "42");
    theirs.release();
    pay(connection, "42");
    {
        rowlock::provider mine = rowlock::sqlserver::applock_on(connection);
        auto held = mine.acquire("nightly-report");
        pay(connection, "41");  // a transaction changes nothing of it
        std::cout << "they: " << (others.try_acquire("nightly-report") ? "in" : "busy") << '\n';
    }
    std::cout << "they: " << (others.try_acquire("nightly-report") ? "in" : "busy") << '\n';

    SQLDisconnect(connection);
    SQLFreeHandle(SQL_HANDLE_DBC, connection);
    SQLFreeHandle(SQL_HANDLE_ENV, environment);
}

/* Output:
41: paid
42: somebody else is at it
42: paid
41: paid
they: busy
they: in
*/
