#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rowlock/options.hpp>
#include <rowlock/provider.hpp>

namespace rowlock::conformance {

/// A new, empty place in which locks live. Each test case has its own.
class store {
public:
    virtual ~store() = default;

    /// A view on the locks; all views of one store see the same ones.
    [[nodiscard]] virtual provider open() = 0;

    /// What `test::open_any` takes in another process to see them, too. Empty: they are this process's own.
    [[nodiscard]] virtual std::string url() const { return {}; }

    /// What the store itself puts before every name, where its locks are not in a place of their own.
    [[nodiscard]] virtual std::string own_prefix() const { return {}; }

    /// How many hold `name`, as the database itself has it, past the library.
    [[nodiscard]] virtual int holders_in_database(std::string_view name) = 0;

    /// How many sessions wait for `name` in the database, past the library, where it tells only of its own process who
    /// waits; empty: it tells of all.
    virtual std::optional<std::size_t> waiters_in_database(std::string_view) { return std::nullopt; }

    /// What is in it, past the library, for the message of a test that fails.
    [[nodiscard]] virtual std::string contents() { return {}; }

    /// Makes every lease of `name` end now, past the library. False: locks do not end here.
    virtual bool expire(std::string_view) { return false; }
};

/// One row of the table of all providers: everything that the suite needs to know of one.
struct provider_kind {
    std::string name{};      ///< in the tree of tests
    std::string backend{};   ///< what traits().name must be
    bool inspects = true;    ///< has status()
    bool operates = true;    ///< has break_lock() and purge()
    bool sees_death = true;  ///< what a dead process held is free at once, not when its lease ends
    std::function<std::unique_ptr<store>(options)> make_store{};
    std::vector<std::string> other_schemes{};  ///< that open the same
    bool has_sessions = true;  ///< else other processes do not see who waits, and hear of a break at a renewal only
    bool purges = operates;    ///< has purge(), even if it has no break_lock()
    bool counts_readers = inspects;            ///< `holders_in_database` tells each one who shares
    bool counts_permits = true;                ///< and the permits of a semaphore that has more than eight
    std::chrono::milliseconds short_ttl{150};  ///< of which a renewal takes but a fraction, also the first in a session
};

/// Every provider that this build has. A new back end is one more entry.
[[nodiscard]] std::vector<provider_kind> provider_kinds();

/// One that this build has, but cannot reach: it is skipped with that reason.
struct absent_kind {
    std::string name;
    std::string why;
    std::vector<std::string> other_schemes{};
};
[[nodiscard]] std::vector<absent_kind> absent_kinds();

}  // namespace rowlock::conformance
