#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "back_ends.hpp"

// What many programs of one host use instead: flock(2) on a file of the directory that the URL names.

namespace bench {
namespace {

class file_lock final : public client {
public:
    explicit file_lock(const std::string& path) : fd_{open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)} {
        if (fd_ < 0) throw std::system_error{errno, std::generic_category(), path};
    }
    ~file_lock() override { close(fd_); }
    void take() override { set(LOCK_EX); }
    void give_back() override { set(LOCK_UN); }

private:
    void set(int operation) const {
        while (flock(fd_, operation) != 0)
            if (errno != EINTR) throw std::system_error{errno, std::generic_category(), "flock"};
    }
    const int fd_;
};

}  // namespace

std::unique_ptr<client> flock_client(const std::string& rest, const client_spec& s) {
    if (s.what != work::mutex) return nullptr;
    return std::make_unique<file_lock>(rest + "/" + s.lock + ".lock");
}

}  // namespace bench
