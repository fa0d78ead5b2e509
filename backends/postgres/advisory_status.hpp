#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <rowlock/status.hpp>

#include "session.hpp"

namespace rowlock::postgres {

/// Reads who holds and who waits from pg_locks. There are keys in it and no names: those that are known beforehand get
/// theirs, others are shown as "advisory key N", which no name of ours looks like by chance. Nor is there how often one
/// session shares a lock, or since when: that is known of sessions of our own.
class advisory_status {
public:
    explicit advisory_status(std::string_view prefix) : prefix_{prefix} {}

    /// A name that may appear.
    void know(std::string_view name);
    /// One who holds `name` in the session with the server process `pid`, of which all are told in this way.
    void add_holder(int pid, std::string_view name, holder_status h);
    /// All who wait in the session with that server process are told, too.
    void know_waiters_of(int pid) { told_ = pid; }
    /// One who waits where the server does not see it.
    void add_waiter(std::string_view name, waiter_status w);

    /// The names that rowlock's tables have, as far as there are tables and this role may read them. Two round trips.
    void know_names_in_tables(session& s, deadline d);

    /// One round trip; sorted by name.
    [[nodiscard]] std::vector<lock_status> read(session& s, deadline d) &&;

private:
    enum class part : std::uint8_t { name, sharers, users, queue };
    struct known {
        std::string name;
        part what;
    };
    struct meaning {
        std::string name;
        lock_mode mode;
        bool waits;
    };
    [[nodiscard]] std::optional<meaning> meaning_of(std::int64_t key, bool exclusive, bool granted) const;

    const std::string_view prefix_;
    std::map<std::int64_t, known> known_;
    std::map<std::int64_t, std::string> places_;  ///< the first permit's key of each name
    std::set<int> ours_;
    int told_ = 0;
    std::map<std::string, std::vector<holder_status>> holders_;
    std::map<std::string, std::vector<waiter_status>> waiters_;
};

}  // namespace rowlock::postgres
