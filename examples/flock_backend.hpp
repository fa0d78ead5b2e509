#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <filesystem>
#include <map>
#include <mutex>
#include <rowlock/rowlock.hpp>

/// Locks that are files in one directory, held with flock(2): for the processes of one host. The kernel gives a lock
/// back when its process dies. The files stay: to delete one while another opens it would make two locks of one name.
class flock_backend final : public rowlock::backend {
public:
    explicit flock_backend(std::filesystem::path directory) : directory_{std::move(directory)} {}

private:
    struct file {
        explicit file(const char* path) : fd{open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)} {}
        file(const file&) = delete;
        ~file() { flock(fd, LOCK_UN), close(fd); }  // closing is not enough: a forked child has the descriptor too
        const int fd;
    };

    std::optional<rowlock::grant> do_try_acquire(const rowlock::lock_request& r, rowlock::deadline) override {
        const std::lock_guard guard{mutex_};
        if (held_.contains(r.id)) return rowlock::grant{};
        auto f = std::make_unique<file>(path_of(r.name).c_str());
        const int how = r.mode == rowlock::lock_mode::shared ? LOCK_SH : LOCK_EX;
        if (f->fd >= 0 && flock(f->fd, how | LOCK_NB) == 0) return held_.emplace(r.id, std::move(f)), rowlock::grant{};
        if (errno == EWOULDBLOCK) return std::nullopt;
        fail(r.name, errno);
    }
    void do_release(const rowlock::lock_request& r, rowlock::deadline) override {
        const std::lock_guard guard{mutex_};
        held_.erase(r.id);
    }
    rowlock::backend_traits do_traits() const override { return {.name = "flock", .shared_mutex = true}; }

    // Any name in hexadecimal, cut into directories where it is long: a component of a path has 255 bytes at most.
    std::filesystem::path path_of(const std::string& name) const {
        auto path = directory_.native();
        for (std::size_t i = 0; i < name.size(); ++i) {
            if (i % 100 == 0) path += '/';
            for (const int half : {name[i] >> 4, int{name[i]}}) path += "0123456789abcdef"[half & 15];
        }
        std::error_code error;
        std::filesystem::create_directories(std::filesystem::path{path += ".lock"}.parent_path(), error);
        if (error) fail(name, error.value());
        return path;
    }
    [[noreturn]] static void fail(const std::string& name, int error) {
        throw rowlock::connection_error{"cannot lock " + name + ": " + std::generic_category().message(error),
                                        {.lock_name = name, .backend = "flock", .native_code = error}};
    }
    const std::filesystem::path directory_;
    std::mutex mutex_;
    std::map<rowlock::request_id, std::unique_ptr<file>> held_;
};
