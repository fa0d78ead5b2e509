#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>

#include <rowlock/mutex.hpp>

#include "samples.hpp"

namespace bench {

struct shared_page;

/// Two processes that hand one lock to each other: this one, and one that it forks. Nothing of rowlock or SQLite may be
/// open when the object is made.
class partners {
public:
    explicit partners(const std::filesystem::path& database);
    ~partners();
    partners(const partners&) = delete;
    partners& operator=(const partners&) = delete;

    /// Each takes the lock `times` times. Its holder gives it back when the other one has been waiting for a while, so
    /// that it surely sleeps. Measured: from the start of the call of release() to the return of acquire() in the
    /// other process. The holder spins meanwhile, so the time does not contain its own waking up.
    /// @param release_calls how long the call of release() took, which wakes the other one at its end
    void hand_over(std::size_t times, samples& result, samples& release_calls);

    /// The same with nothing but a futex between them: what waking another process costs on this machine.
    void wake_up(std::size_t times, samples& result);

private:
    void in_child(const std::filesystem::path& database);
    void order(int what, std::size_t times);
    void wait_for_child() const;

    shared_page* page_ = nullptr;
    pid_t child_ = -1;
    int commands_ = -1, done_ = -1;
    std::optional<rowlock::mutex> mutex_;
};

}  // namespace bench
