#include <array>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include <mysql.h>

#include "back_ends.hpp"

// What users of MariaDB pick: GET_LOCK and RELEASE_LOCK (https://mariadb.com/kb/en/get_lock/), prepared, on a
// connection that is kept. It waits in the server. The URL names the server's socket.

namespace bench {
namespace {

class connection {
public:
    explicit connection(const std::string& socket) : handle_{mysql_init(nullptr), &mysql_close} {
        if (!handle_) throw std::runtime_error{"MariaDB: no memory"};
        if (!mysql_real_connect(handle_.get(), nullptr, "root", nullptr, nullptr, 0, socket.c_str(), 0))
            throw std::runtime_error{"MariaDB at " + socket + ": " + mysql_error(handle_.get())};
    }
    [[nodiscard]] MYSQL* get() const noexcept { return handle_.get(); }

private:
    std::unique_ptr<MYSQL, decltype(&mysql_close)> handle_;
};

// A statement with one parameter, which says 1 if it did what it should.
class statement {
public:
    statement(const connection& c, const std::string& sql, std::string name)
        : handle_{mysql_stmt_init(c.get()), &mysql_stmt_close}, name_{std::move(name)} {
        check(handle_ && mysql_stmt_prepare(handle_.get(), sql.data(), sql.size()) == 0);
        MYSQL_BIND in{}, out{};
        in.buffer_type = MYSQL_TYPE_STRING;
        in.buffer = name_.data();
        in.buffer_length = name_.size();
        out.buffer_type = MYSQL_TYPE_LONGLONG;
        out.buffer = &answer_;
        check(mysql_stmt_bind_param(handle_.get(), &in) == 0 && mysql_stmt_bind_result(handle_.get(), &out) == 0);
    }
    statement(const statement&) = delete;
    statement& operator=(const statement&) = delete;

    void operator()() {
        answer_ = 0;
        check(mysql_stmt_execute(handle_.get()) == 0 && mysql_stmt_fetch(handle_.get()) == 0 &&
              mysql_stmt_free_result(handle_.get()) == 0);
        if (answer_ != 1) throw std::logic_error{"MariaDB did not do what it should with " + name_};
    }

private:
    void check(bool fine) const {
        if (!fine)
            throw std::runtime_error{std::string{"MariaDB: "} +
                                     (handle_ ? mysql_stmt_error(handle_.get()) : "no memory")};
    }

    std::unique_ptr<MYSQL_STMT, decltype(&mysql_stmt_close)> handle_;
    std::string name_;
    long long answer_ = 0;
};

class named_lock final : public client {
public:
    named_lock(const std::string& socket, const std::string& name)
        : connection_{socket},
          take_{connection_, "SELECT GET_LOCK(?, 3600)", name},
          give_back_{connection_, "SELECT RELEASE_LOCK(?)", name} {}
    void take() override { take_(); }
    void give_back() override { give_back_(); }

private:
    connection connection_;
    statement take_, give_back_;
};

}  // namespace

std::unique_ptr<client> mariadb_client(const std::string& rest, const client_spec& s) {
    return s.what == work::mutex ? std::make_unique<named_lock>(rest, s.lock) : nullptr;
}

}  // namespace bench
