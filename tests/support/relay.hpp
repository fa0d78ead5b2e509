#pragma once

#include <atomic>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace rowlock::test {

/// Stands between clients and a server's socket, and loses what it is told to lose: so a test decides between which two
/// bytes a connection dies.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class relay {
public:
    /// @param socket the server's Unix-domain socket
    explicit relay(std::string socket);
    /// @param port of a server on this host that speaks TDS
    explicit relay(int port);
    ~relay();
    relay(const relay&) = delete;
    relay& operator=(const relay&) = delete;

    /// Where clients connect to, at 127.0.0.1.
    [[nodiscard]] int port() const noexcept { return port_; }
    /// For libpq. Add user and database.
    [[nodiscard]] std::string conninfo() const;

    /// The next time that prepared statement is executed, the server carries it out, commits and answers; then the
    /// connection is closed, and the client gets nothing of the answer. Of TDS: the next batch or call that has this
    /// text in it, or among its parameters.
    void lose_answer(const std::string& statement) { lose(statement, {}); }
    /// The same, and close().
    void lose_answer_and_close(const std::string& statement) { lose(statement, {.closes = true}); }
    /// The connection is closed before the server gets the question.
    void lose_question(const std::string& statement) { lose(statement, {.question = true}); }
    /// How often that has happened.
    [[nodiscard]] int lost() const noexcept { return lost_; }

    /// Ends all connections, and every new one at once.
    void close() { closed_ = true; }
    void open() { closed_ = false; }

    /// Takes new connections, and lets nothing of them through: as a server that is too busy for them.
    void keep_new_ones_waiting() { holds_ = true; }
    /// How many it has kept waiting so far.
    [[nodiscard]] int held() const noexcept { return held_; }

    /// Lets nothing through any more, and tells nobody: as a network that is cut.
    void fall_silent() { silent_ = true; }

private:
    struct manner {
        bool question = false, closes = false;
    };
    struct pair {
        int client, server;
        bool held;
        std::optional<manner> loses{};
        std::string asked{};  ///< TDS: a question that has not come to its end
        std::string swallowed{};
    };
    void lose(const std::string& statement, manner how);
    void run();
    void accept();
    bool forward(pair& p, bool from_client);
    bool ask(pair& p, std::string_view question);
    [[nodiscard]] bool speaks_tds() const noexcept { return server_port_ != 0; }
    std::optional<manner> is_to_be_lost(std::string_view question);

    void start();
    [[nodiscard]] int connected() const;

    const std::string socket_{};
    const int server_port_ = 0;
    int listener_ = -1;
    int port_ = 0;
    std::atomic<int> lost_{0}, held_{0};
    std::atomic<bool> closed_{false}, silent_{false}, holds_{false}, over_{false};
    std::mutex mutex_;
    std::string to_lose_;
    manner how_;
    std::list<pair> pairs_;
    std::thread thread_;
};

}  // namespace rowlock::test
