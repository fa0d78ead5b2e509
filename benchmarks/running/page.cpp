#include "page.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <system_error>

namespace bench {
namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error{errno, std::generic_category(), what}; }

int new_memory() {
    const int fd = memfd_create("rowlock-bench", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof(page)) != 0) fail("shared memory");
    return fd;
}

}  // namespace

shared_page::shared_page() : fd_{new_memory()} {
    map();
    reset();
}

shared_page::shared_page(int fd) : fd_{fd} { map(); }

shared_page::~shared_page() {
    munmap(page_, sizeof(page));
    close(fd_);
}

void shared_page::map() {
    void* memory = mmap(nullptr, sizeof(page), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory == MAP_FAILED) fail("mmap");
    page_ = static_cast<page*>(memory);
}

}  // namespace bench
