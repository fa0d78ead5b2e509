#pragma once

namespace rowlock::sqlite {

/// Something that must be closed before fork() copies it, and may be opened again afterwards in the parent.
///
/// SQLite keeps what files it has locked per process; a child that inherited that belief, opened the database anew
/// and relied on locks that it does not have could damage the file (https://www.sqlite.org/howtocorrupt.html, 2.6).
/// So every connection of ours is closed at the moment of a fork, between two operations.
class fork_closer {
public:
    /// Waits for the operation under way, closes, and lets no other begin.
    virtual void before_fork() = 0;
    /// In the parent: operations may begin, and open again what they need. The child never calls it.
    virtual void after_fork() = 0;

protected:
    ~fork_closer() = default;
};

/// While it lives, `c` is told of forks. Make it the last member of `c`, so that it ends first.
class fork_registration {
public:
    explicit fork_registration(fork_closer& c);
    ~fork_registration();
    fork_registration(const fork_registration&) = delete;
    fork_registration& operator=(const fork_registration&) = delete;

private:
    fork_closer& closer_;
};

}  // namespace rowlock::sqlite
