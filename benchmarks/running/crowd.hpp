#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <contenders/client.hpp>

#include "job.hpp"
#include "page.hpp"
#include "placement.hpp"

namespace bench {

enum class place : std::uint8_t { threads, processes };

/// "8 threads", "1 process"
[[nodiscard]] std::string describe(std::size_t clients, place where);

/// Clients of one kind, each with sessions of its own, in threads of this process or in processes of their own.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class crowd {
public:
    /// @param locks how many there are; the clients are dealt to them in turn
    /// @param cpus has placed this process already, and knows each client's CPU
    crowd(client_spec s, std::size_t clients, std::size_t locks, place where, const placer& cpus);
    ~crowd();
    crowd(const crowd&) = delete;
    crowd& operator=(const crowd&) = delete;

    /// Whether such clients exist; if not, nothing may be asked of them.
    [[nodiscard]] bool exists() const noexcept { return !members_.empty(); }

    /// What the only client, or the first, does alone.
    outcome cycles(std::int64_t times);
    struct contest_outcome {
        std::vector<outcome> all{};  ///< of each client
        nanoseconds lasted{};        ///< somewhat longer than was asked for: who ends it has to get a CPU
    };
    /// All of them at once, for `time`.
    /// @throws std::runtime_error one of them failed
    contest_outcome contest(nanoseconds time, nanoseconds hold, nanoseconds think);

private:
    class member;
    class in_thread;
    class in_process;

    shared_page page_;
    std::size_t locks_;
    const placer& cpus_;
    std::vector<std::unique_ptr<member>> members_;
};

}  // namespace bench
