#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// Which CPUs clients and servers run on. Hardly anything else changes a ratio as much: where both share a CPU each
/// message is a change of the process, and where they do not, it wakes another CPU.
enum class placement : std::uint8_t {
    one_cpu,   ///< everything on one CPU
    two_cpus,  ///< clients on one, servers on another; where there is no server, clients on both in turn
    clients,   ///< clients on one CPU; the server was not started here, and is where its owner put it
    any_cpu    ///< as the scheduler likes
};
/// "one CPU"
[[nodiscard]] std::string_view to_string(placement p) noexcept;

/// What a user may ask for.
enum class placements_wanted : std::uint8_t { both, one, two, any };

/// Places this process, the servers that it has started, and one that its owner lets it place. At the end all of them
/// may run where they could before.
///
/// Distinct objects: unsafe.
/// Shared objects: unsafe.
class placer {
public:
    using servers = std::map<std::string, pid_t>;  ///< the URL of each server that was started here

    /// @param started by this process
    /// @param named by the user, to be placed like those; but they are nobody's here, and keep their settings
    placer(placements_wanted wanted, servers started, const servers& named = {});
    ~placer();
    placer(const placer&) = delete;
    placer& operator=(const placer&) = delete;

    /// Those under which a back end is measured. Without a server there is one: a single client needs one CPU, and
    /// several use two.
    [[nodiscard]] std::vector<placement> placements(const std::string& url, bool contended) const;
    /// The last of them, for what does not depend on the CPUs.
    [[nodiscard]] placement usual(const std::string& url) const { return placements(url, true).back(); }

    [[nodiscard]] bool started_here(const std::string& url) const { return started_.contains(url); }

    /// Moves all threads of this process, and all processes of the servers; what they start from then on follows them.
    /// @throws std::system_error it is not allowed
    void place(placement p, const std::string& url);
    /// The CPU for one of several clients; empty: anywhere where this process is.
    [[nodiscard]] std::optional<int> cpu_of(std::size_t client, std::size_t locks) const;

    /// "CPU 0, CPU 1"
    [[nodiscard]] std::string description() const;

private:
    struct placed_server {
        pid_t process;
        std::vector<int> before;  ///< where it could run
    };

    [[nodiscard]] bool both_here() const noexcept { return first_ != second_; }

    const placements_wanted wanted_;
    const servers started_;
    std::map<std::string, placed_server> placed_;
    const std::vector<int> all_;  ///< as it was when the program began
    const int first_, second_;
    std::optional<placement> servers_at_;
    bool dealt_ = false;  ///< clients use both in turn
};

/// Moves the calling thread.
void stay_on(int cpu);

}  // namespace bench
