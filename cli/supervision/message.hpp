#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "../unique_fd.hpp"

namespace rowlock::cli {

/// What the front and the keeper tell each other; see front.hpp.
struct message {
    enum class kind : std::int32_t {
        signal,       ///< front: signal `value` came
        job_started,  ///< keeper: its process group is `value`
        job_stopped,  ///< keeper: by signal `value`
        job_gone,     ///< keeper: the last process of it has ended, the terminal is free
        not_waiting,  ///< keeper: after SIGTSTP it has left the queue, the front may stop
        end,          ///< keeper: the lock is free; exit with `value`, or die of `signal` if that is not 0
    };
    kind what = kind::end;
    std::int32_t value = 0;
    std::int32_t signal = 0;  ///< end: the signal that the front or the job was ended with
    bool reraise = false;     ///< end: die of `signal` even if the job never had the terminal
};

/// One end of a channel that keeps messages whole and tells when the other end's process is gone.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class channel {
public:
    static std::pair<channel, channel> create();

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

    /// Never blocks: what does not fit is dropped. Two hundred messages fit, so that happens to a flood of signals
    /// only.
    void send(const message& m) const noexcept;
    /// Blocks until it fits.
    void send_surely(const message& m) const noexcept;

    enum class state : std::uint8_t { open, closed };
    /// Does not block; empty if there is none now.
    [[nodiscard]] std::optional<message> receive(state& s) const noexcept;

    void close() noexcept { fd_ = unique_fd{}; }

private:
    explicit channel(int fd) noexcept : fd_{fd} {}
    unique_fd fd_;
};

}  // namespace rowlock::cli
