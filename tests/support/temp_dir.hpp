#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <unistd.h>

namespace rowlock::test {

/// A directory that is gone when the object is.
class temp_dir {
public:
    temp_dir() {
        std::string name = std::filesystem::temp_directory_path() / "rowlock-test-XXXXXX";
        if (!mkdtemp(name.data())) throw std::runtime_error{"cannot make a directory like " + name};
        path_ = name;
    }
    temp_dir(const temp_dir&) = delete;
    temp_dir& operator=(const temp_dir&) = delete;
    ~temp_dir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};

}  // namespace rowlock::test
