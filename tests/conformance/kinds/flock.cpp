#include "kinds.hpp"

#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <support/open_any.hpp>
#include <support/temp_dir.hpp>

namespace rowlock::conformance {
namespace {

class flock_store final : public store {
public:
    explicit flock_store(options opt) : options_{std::move(opt)} {}
    provider open() override { return test::open_any(url(), options_); }
    std::string url() const override { return "flock:" + directory_.path().string(); }
    // Counts the files below its directory that somebody has locked; the names are the back end's own affair, and those
    // who share a lock are one.
    int holders_in_database(std::string_view) override {
        int locked = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator{directory_.path()}) {
            if (!entry.is_regular_file()) continue;
            const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
            locked += ::flock(fd, LOCK_EX | LOCK_NB) != 0;
            close(fd);
        }
        return locked;
    }

private:
    const test::temp_dir directory_;
    const options options_;
};

}  // namespace

void add_flock(kinds& all) {
    all.push_back(
        {.name = "flock", .backend = "flock", .inspects = false, .operates = false, .make_store = make<flock_store>()});
}

}  // namespace rowlock::conformance
