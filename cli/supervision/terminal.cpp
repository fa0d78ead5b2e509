#include "terminal.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace rowlock::cli {

// The terminal itself, not standard input: that may be redirected while ^C still comes from the keyboard.
terminal::terminal() : fd_{::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC)} {}

pid_t terminal::foreground() const noexcept { return fd_ ? tcgetpgrp(fd_.get()) : -1; }

bool terminal::hand_to(pid_t group) const noexcept { return fd_ && tcsetpgrp(fd_.get(), group) == 0; }

}  // namespace rowlock::cli
