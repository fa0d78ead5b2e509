#pragma once

#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace rowlock::test {

/// A place in the file system where one at a time may be, and which notices if there were two: who comes in makes a
/// file that must not exist, and counts with a read and a write that are not one step.
class critical_section {
public:
    explicit critical_section(const std::string& file)
        : inside_{file + ".inside"}, fd_{::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)} {
        if (fd_ < 0) throw std::runtime_error{"cannot open " + file};
    }
    critical_section(const critical_section&) = delete;
    critical_section& operator=(const critical_section&) = delete;
    ~critical_section() { close(fd_); }

    void visit() {
        const int mark = ::open(inside_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (mark < 0) ++overlaps_;
        const long before = visits();
        sched_yield();  // gives another one the chance to come in
        const long after = before + 1;
        if (pwrite(fd_, &after, sizeof after, 0) != sizeof after) throw std::runtime_error{"cannot write"};
        if (mark >= 0) {
            close(mark);
            unlink(inside_.c_str());
        }
    }

    /// How often somebody else was inside when this object came in.
    [[nodiscard]] int overlaps() const noexcept { return overlaps_; }
    /// All visits of all processes, less those that were lost because two were inside.
    [[nodiscard]] long visits() const {
        long count = 0;
        return pread(fd_, &count, sizeof count, 0) == sizeof count ? count : 0;
    }

private:
    const std::string inside_;
    const int fd_;
    int overlaps_ = 0;
};

}  // namespace rowlock::test
