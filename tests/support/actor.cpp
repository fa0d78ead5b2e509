// A process that does with locks what it is told on its standard input, and prints one line for each command:
//
//   open URL [ttl=MS] [timeout=MS] [owner=TEXT]   ok
//   acquire HANDLE NAME MODE WAIT_MS|-            ok TOKEN | busy | error TYPE MESSAGE
//   upgrade HANDLE WAIT_MS|-                      ok TOKEN | busy | error ...
//   release HANDLE | verify HANDLE                ok | error ...
//   lost HANDLE                                   held | lost REASON
//   waiters N NAME                                ok, once N threads have begun to wait for NAME
//   cycles N NAME MODE FILE                       ok OVERLAPS: so often somebody else was inside, see critical_section
//   cycle_all N NAME,NAME,...                     ok
//   migrate URL                                   ok STEPS, so many were run
//   pid                                           ok PID, as this process sees it
//   pollers N NAME                                ok, once N threads try for NAME every 5 ms: how not to wait
//   write DB HANDLE|- VALUE                       ok | error ...: fenced by HANDLE, or not
//   begin DB HANDLE | end                         the same in two steps, so that others can come in between
//   set DB HANDLE|- ACCOUNT VALUE                 ok | error ...: as write, in PostgreSQL
//   cpu                                           ok MICROSECONDS used so far
//   exit                                          (ends the process, after its handles)
//
// MODE is exclusive, shared, upgrade or permit/N. Names must not contain blanks. "cancel" has no answer of its own: it
// ends the wait that is going on. When the input ends, the process ends at once.
#include <condition_variable>
#include <deque>
#include <iomanip>
#include <iostream>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include <sys/resource.h>
#include <unistd.h>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>

#include "critical_section.hpp"
#include "open_any.hpp"
#include "slack.hpp"
#ifdef ROWLOCK_HAVE_POSTGRES
#include <pqxx/pqxx>
#include <rowlock/postgres.hpp>
#endif
#ifdef ROWLOCK_HAVE_SQLITE
#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>
#include <rowlock/sqlite.hpp>
#endif

namespace {

using namespace std::chrono_literals;
using rowlock::lock_handle;

// Lines as they come; the one who reads them can be told to stop waiting by "cancel" and by the end of the input.
class command_queue {
public:
    command_queue() : reader_{[this] { read(); }} { reader_.detach(); }

    std::string next() {
        std::unique_lock lock{mutex_};
        arrived_.wait(lock, [&] { return !lines_.empty(); });
        auto line = std::move(lines_.front());
        lines_.pop_front();
        return line;
    }
    std::stop_token fresh_stop() {
        const std::lock_guard lock{mutex_};
        stop_ = {};
        return stop_.get_token();
    }

private:
    void read() {
        for (std::string line; std::getline(std::cin, line);) {
            const std::lock_guard lock{mutex_};
            if (line == "cancel")
                stop_.request_stop();
            else
                lines_.push_back(line);
            arrived_.notify_one();
        }
        _exit(0);
    }

    std::mutex mutex_;
    std::condition_variable arrived_;
    std::deque<std::string> lines_;
    std::stop_source stop_;
    std::thread reader_;
};

class actor {
public:
    std::string run(const std::string& line, const std::stop_token& stop) {
        std::istringstream words{line};
        std::string command;
        words >> command;
        try {
            return obey(command, words, stop);
        } catch (const rowlock::cancelled& e) {
            return std::string{"error cancelled "} + e.what();
        } catch (const rowlock::lock_lost& e) {
            return std::string{"error lock_lost "} + e.what();
        } catch (const rowlock::schema_error& e) {
            return std::string{"error schema_error "} + e.what();
        } catch (const rowlock::connection_error& e) {
            return std::string{"error connection_error "} + e.what();
        } catch (const rowlock::error& e) {
            return std::string{"error error "} + e.what();
        } catch (const std::exception& e) {
            return std::string{"error other "} + e.what();
        }
    }

    ~actor() {
        stop_waiters_.request_stop();
        for (auto& t : waiters_) t.join();
    }

private:
    template <class T = std::string>
    static T word(std::istringstream& words) {
        T value{};
        if (!(words >> value)) throw std::invalid_argument{"a word is missing"};
        return value;
    }

    static rowlock::deadline wait_of(std::istringstream& words) {
        const auto text = word(words);
        return text == "-" ? rowlock::deadline::never()
                           : rowlock::deadline::after(std::chrono::milliseconds{std::stol(text)});
    }

    std::optional<lock_handle> take(const std::string& name, const std::string& mode, rowlock::deadline until,
                                    const std::stop_token& stop) {
        if (mode == "shared") return rowlock::shared_mutex{*locks_, name}.try_acquire_shared_until(until.at(), stop);
        if (mode == "upgrade") return rowlock::upgrade_mutex{*locks_, name}.try_acquire_upgrade_until(until.at(), stop);
        if (mode.starts_with("permit/"))
            return rowlock::semaphore{*locks_, name, std::stol(mode.substr(7))}.try_acquire_until(until.at(), stop);
        return rowlock::mutex{*locks_, name}.try_acquire_until(until.at(), stop);
    }

    static std::string granted(const lock_handle& h) {
        return "ok " + std::to_string(h.token() ? h.token()->value() : 0);
    }

    std::string obey(const std::string& command, std::istringstream& words, const std::stop_token& stop) {
        if (command == "open") return open(words);
        if (command == "acquire") {
            const auto handle = word(words), name = word(words), mode = word(words);
            auto got = take(name, mode, wait_of(words), stop);
            if (!got) return "busy";
            const auto reply = granted(*got);
            held_.insert_or_assign(handle, std::move(*got));
            return reply;
        }
        if (command == "upgrade") {
            auto& h = held_.at(word(words));
            const auto until = wait_of(words);
            if (until.is_never()) {
                h.upgrade(stop);
                return granted(h);
            }
            return h.try_upgrade_for(until.remaining(), stop) ? granted(h) : "busy";
        }
        if (command == "release") {
            held_.at(word(words)).release();
            return "ok";
        }
        if (command == "verify") {
            held_.at(word(words)).verify();
            return "ok";
        }
        if (command == "lost") {
            const auto& h = held_.at(word(words));
            return h.lost().stop_requested() ? "lost " + std::string{to_string(h.lost_reason().value())} : "held";
        }
        if (command == "migrate") return "ok " + std::to_string(rowlock::open_schema(word(words)).migrate().size());
        if (command == "pid") return "ok " + std::to_string(getpid());
        if (command == "pollers") return poll_with_threads(words);
        if (command == "waiters") return wait_with_threads(words);
        if (command == "cycles") return cycles(words);
        if (command == "cycle_all") return cycle_all(words);
        if (command == "cpu") {
            rusage used{};
            getrusage(RUSAGE_SELF, &used);
            const auto us = [](const timeval& t) { return std::int64_t{t.tv_sec} * 1000000 + t.tv_usec; };
            return "ok " + std::to_string(us(used.ru_utime) + us(used.ru_stime));
        }
#ifdef ROWLOCK_HAVE_POSTGRES
        if (command == "set") return set_balance(words);
#endif
#ifdef ROWLOCK_HAVE_SQLITE
        if (command == "write") {
            begin(words);
            set(word(words));
            return end();
        }
        if (command == "begin") {
            begin(words);
            return "ok";
        }
        if (command == "end") {
            set(word(words));
            return end();
        }
#endif
        throw std::invalid_argument{"no such command: " + command};
    }

    std::string open(std::istringstream& words) {
        std::string url;
        words >> std::quoted(url);
        rowlock::options opt;
        for (std::string o; words >> o;) {
            if (o.starts_with("ttl=")) opt.ttl = std::chrono::milliseconds{std::stol(o.substr(4))};
            if (o.starts_with("timeout=")) opt.operation_timeout = std::chrono::milliseconds{std::stol(o.substr(8))};
            if (o.starts_with("owner=")) opt.owner = o.substr(6);
        }
        locks_.emplace(rowlock::test::open_any(url, opt));
        return "ok";
    }

    std::string wait_with_threads(std::istringstream& words) {
        const auto count = word<int>(words);
        const auto name = word(words);
        for (int i = 0; i < count; ++i)
            waiters_.emplace_back([this, name] {
                try {
                    (void)locks_->acquire(name, stop_waiters_.get_token());
                } catch (const rowlock::cancelled&) {
                }
            });
        return "ok";
    }

    std::string poll_with_threads(std::istringstream& words) {
        const auto count = word<int>(words);
        const auto name = word(words);
        for (int i = 0; i < count; ++i)
            waiters_.emplace_back([this, name, stop = stop_waiters_.get_token()] {
                while (!stop.stop_requested() && !locks_->try_acquire(name)) std::this_thread::sleep_for(5ms);
            });
        return "ok";
    }

    std::string cycles(std::istringstream& words) {
        const auto count = word<int>(words);
        const auto name = word(words), mode = word(words), file = word(words);
        rowlock::test::critical_section inside{file};
        for (int i = 0; i < count; ++i) {
            const auto h = take(name, mode, rowlock::deadline::never(), {});
            inside.visit();
        }
        return "ok " + std::to_string(inside.overlaps());
    }

    std::string cycle_all(std::istringstream& words) {
        const auto count = word<int>(words);
        std::istringstream list{word(words)};
        std::vector<std::string> names;
        for (std::string name; std::getline(list, name, ',');) names.push_back(name);
        for (int i = 0; i < count; ++i)
            if (!locks_->try_acquire_all(names, rowlock::test::patience)) return "busy";
        return "ok";
    }

#ifdef ROWLOCK_HAVE_POSTGRES
    std::string set_balance(std::istringstream& words) {
        const auto url = word(words), handle = word(words), account = word(words), value = word(words);
        if (!connection_) connection_ = std::make_unique<pqxx::connection>(url);
        pqxx::work tx{*connection_};
        if (handle != "-") rowlock::postgres::fence(tx, held_.at(handle));
        tx.exec_params("UPDATE account SET balance = $2 WHERE id = $1", account, value);
        tx.commit();
        return "ok";
    }
    std::unique_ptr<pqxx::connection> connection_;
#endif

#ifdef ROWLOCK_HAVE_SQLITE
    void begin(std::istringstream& words) {
        const auto file = word(words), handle = word(words);
        transaction_.reset();
        transaction_.emplace(file, SQLite::OPEN_READWRITE, 10000);
        transaction_->exec("BEGIN IMMEDIATE");
        try {
            if (handle != "-") rowlock::sqlite::fence(*transaction_, held_.at(handle));
        } catch (...) {
            transaction_.reset();  // rolls back
            throw;
        }
    }
    void set(const std::string& value) {
        SQLite::Statement s{*transaction_, "UPDATE account SET balance = ?"};
        s.bind(1, value);
        s.exec();
    }
    std::string end() {
        transaction_->exec("COMMIT");
        transaction_.reset();
        return "ok";
    }
    std::optional<SQLite::Database> transaction_;
#endif

    std::optional<rowlock::provider> locks_;
    std::map<std::string, lock_handle> held_;
    std::stop_source stop_waiters_;
    std::vector<std::thread> waiters_;
};

}  // namespace

int main() {
    auto& commands = *new command_queue;  // its thread outlives main
    actor me;
    for (;;) {
        const auto line = commands.next();
        if (line == "exit") return 0;
        std::cout << me.run(line, commands.fresh_stop()) << std::endl;
    }
}
