#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <rowlock/backend.hpp>

#include "futex.hpp"

namespace rowlock::sqlite {

/// A process, as the rows of rowlock_lease name it.
struct process_mark {
    std::int64_t arena = 0;  ///< the id of the arena file in which the slot is
    std::int64_t slot = 0;
    std::int64_t incarnation = 0;  ///< random, so that the next user of a slot is another process
};

struct arena_file;
class presence;

/// The file `PATH-rowlock`, which every process that uses the database maps: through it they wake each other, and see
/// each other die. It holds no truth about locks, only hints; the tables do. One object per process and file.
///
/// Death is seen through a robust futex: one thread of each process owns a word in its slot, and the kernel itself
/// marks the word and wakes who waits for it when that thread dies, for whatever reason; set_robust_list(2). A pid
/// would not do: containers do not share pids, and they are reused.
///
/// If the file was deleted and made anew, the processes that have the old one are strangers to the new: about their
/// death nothing is known, so their leases end after their time to live, never earlier.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class arena {
public:
    /// The arena beside `database`, made if there is none; shared by all who ask in this process.
    /// @throws connection_error it cannot be made or mapped, or is in use by another version
    static std::shared_ptr<arena> open(const std::filesystem::path& database, deadline d);

    ~arena();
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;

    /// This process.
    [[nodiscard]] const process_mark& self() const noexcept { return self_; }

    /// True unless the process is surely gone.
    [[nodiscard]] bool may_live(const process_mark& p) const noexcept;
    /// Whether its death would be seen here.
    [[nodiscard]] bool sees(const process_mark& p) const noexcept;

    /// What the acquisition `id` waits at, shared with others whose ids fall on the same word.
    [[nodiscard]] const futex_word& bell_of(const request_id& id) const noexcept { return word_of(id); }
    /// Wakes whoever waits at `bell_of(id)`.
    void ring(const request_id& id) noexcept;

    /// Waits until the bell is rung (it was at `seen` before), one of `processes` dies, or `until`.
    void wait(const request_id& id, std::uint32_t seen, std::span<const process_mark> processes, deadline until) const;

    /// Makes process `p` call everything that it registered with `on_alarm`.
    void alarm(const process_mark& p) noexcept;
    /// `what` is called from a thread of the arena's; returns a key for `off_alarm`, after which it is not called.
    std::uint64_t on_alarm(std::function<void()> what);
    void off_alarm(std::uint64_t key);

private:
    explicit arena(arena_file* mapped);
    void claim(const std::filesystem::path& path);
    [[nodiscard]] futex_word& word_of(const request_id& id) const noexcept;
    void raise_alarm();

    arena_file* file_ = nullptr;
    process_mark self_;
    std::mutex alarms_mutex_;
    std::uint64_t last_alarm_ = 0;
    std::vector<std::pair<std::uint64_t, std::function<void()>>> alarms_;
    std::unique_ptr<presence> presence_;
};

}  // namespace rowlock::sqlite
