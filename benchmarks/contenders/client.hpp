#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace bench {

/// What is done with a lock, from `take` to `give_back`.
enum class work : std::uint8_t {
    mutex,      ///< acquire without a limit, release
    timed,      ///< the same with a timeout
    borrowed,   ///< the same on a connection that the caller has already
    shared,     ///< as one of several readers
    upgrade,    ///< with readers, but as the only one of its kind
    semaphore,  ///< one of several permits
    busy        ///< a try in vain, and nothing to give back
};
inline constexpr work all_work[]{work::mutex,   work::timed,     work::borrowed, work::shared,
                                 work::upgrade, work::semaphore, work::busy};
[[nodiscard]] std::string_view to_string(work w) noexcept;

/// Whose lock it is.
enum class side : std::uint8_t {
    rowlock,
    baseline,  ///< the bare driver, with the same statements
    polling    ///< the bare driver, asking again and again
};

/// All that is needed to make a client, in this process or in another.
struct client_spec {
    std::string url{};
    side who = side::rowlock;
    work what = work::mutex;
    std::string lock{};
    bool contended = false;   ///< others want the same lock: a baseline must be able to wait
    std::int64_t ttl_ms = 0;  ///< 0: the default
    std::string owner = "rowlock-bench";
};

/// One user of one lock. A failure of any kind is an exception.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class client {
public:
    client() = default;
    virtual ~client() = default;
    client(const client&) = delete;
    client& operator=(const client&) = delete;

    virtual void take() = 0;
    virtual void give_back() = 0;
};

}  // namespace bench
