#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace bench {

using nanoseconds = std::chrono::nanoseconds;

/// CLOCK_MONOTONIC, which all processes of a machine share.
inline nanoseconds now() { return std::chrono::steady_clock::now().time_since_epoch(); }

inline constexpr std::size_t most_locks = 64;

/// What all clients of one contest see, be they threads or processes.
struct page {
    struct lock_state {
        std::atomic<std::int64_t> last_holder{-1};
        std::atomic<std::int64_t> released_at_ns{0};
    };
    std::atomic<std::uint32_t> ready{0};  ///< how many stand at the start
    std::atomic<bool> started{false};
    std::atomic<std::uint32_t> wishing{0};  ///< how many want a lock, or have had one
    std::atomic<bool> over{false};
    std::array<lock_state, most_locks> locks{};
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

/// A page in memory that child processes map, too.
class shared_page {
public:
    shared_page();
    /// The one that a parent made.
    explicit shared_page(int fd);
    ~shared_page();
    shared_page(const shared_page&) = delete;
    shared_page& operator=(const shared_page&) = delete;

    page* operator->() const noexcept { return page_; }
    page& operator*() const noexcept { return *page_; }
    [[nodiscard]] int fd() const noexcept { return fd_; }
    void reset() { new (page_) page{}; }

private:
    void map();
    const int fd_;
    page* page_ = nullptr;
};

}  // namespace bench
