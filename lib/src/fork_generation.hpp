#pragma once

namespace rowlock::detail {

/// Counts the fork() calls between the program's start and this process. An object that remembers the generation in
/// which it was made knows whether it is in the process that made it; cheaper than getpid().
///
/// A forked child has a copy of every object but none of the threads, and must not touch what its parent holds.
[[nodiscard]] unsigned fork_generation() noexcept;

/// A shared_ptr deleter for objects with threads or database connections: in a forked child they are left alone,
/// because joining a thread that does not exist there never ends, and closing a connection would disturb the parent.
struct delete_unless_forked {
    unsigned made_in = fork_generation();
    template <class T>
    void operator()(T* object) const {
        if (fork_generation() == made_in) delete object;
    }
};

}  // namespace rowlock::detail
