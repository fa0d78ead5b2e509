#include "arena.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rowlock/error.hpp>

#include <fork_generation.hpp>

#include "host.hpp"
#include "presence.hpp"

namespace rowlock::sqlite {

using namespace std::chrono_literals;

// What stands in the file. A change of the layout changes the magic number.
struct arena_file {
    static constexpr std::uint64_t current_magic = 0x31306b6c776f72ULL;  // "rowlk01", little-endian

    std::atomic<std::uint64_t> magic;  ///< written last; 0 while the rest is not complete
    std::int64_t id;
    std::array<char, 48> boot;
    std::array<presence_slot, 1024> slots;
    std::array<futex_word, 4096> bells;
};

namespace {

std::int64_t random_id() {
    std::random_device source;
    return static_cast<std::int64_t>(((std::uint64_t{source()} << 32) | source()) | 1U);  // never 0
}

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& file, int error) {
    throw connection_error{what + " " + file.string() + ": " + std::generic_category().message(error),
                           {.backend = "sqlite", .native_code = error}};
}

// An open file with flock(2) on it: only one process at a time makes the file or claims a slot.
class locked_file {
public:
    locked_file(const std::filesystem::path& file, const struct stat& like, deadline d) : file_{file} {
        for (;;) {
            fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
            if (fd_ < 0) fail("cannot open or create", file, errno);
            lock(d);
            struct stat by_name {};
            if (fstat(fd_, &status_) == 0 && stat(file.c_str(), &by_name) == 0 && by_name.st_ino == status_.st_ino &&
                by_name.st_dev == status_.st_dev)
                break;
            close();  // somebody deleted it meanwhile
        }
        if (status_.st_size == 0) {  // new: usable by whom the database is usable by
            if (fchmod(fd_, like.st_mode & 0666) != 0) fail("cannot set the permissions of", file, errno);
            if (geteuid() == 0 && fchown(fd_, like.st_uid, like.st_gid) != 0)
                fail("cannot set the owner of", file, errno);
        }
    }
    ~locked_file() { close(); }
    locked_file(const locked_file&) = delete;
    locked_file& operator=(const locked_file&) = delete;

    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] std::pair<dev_t, ino_t> identity() const noexcept { return {status_.st_dev, status_.st_ino}; }
    [[nodiscard]] off_t size() const noexcept { return status_.st_size; }

private:
    void lock(deadline d) {
        while (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
            const int why = errno;
            if ((why != EWOULDBLOCK && why != EINTR) || d.expired()) {
                close();
                fail("cannot lock", file_, why);
            }
            std::this_thread::sleep_for(1ms);
        }
    }
    void close() noexcept {
        if (fd_ < 0) return;
        flock(fd_, LOCK_UN);  // a child forked in between has the descriptor too
        ::close(fd_);
        fd_ = -1;
    }

    const std::filesystem::path& file_;
    int fd_ = -1;
    struct stat status_ {};
};

// The arenas that this process has open. A forked child starts with an empty list of its own: those of its parent,
// and the lock around them, are not its.
struct open_arenas {
    const unsigned made_in = detail::fork_generation();
    std::mutex mutex{};
    std::map<std::pair<dev_t, ino_t>, std::weak_ptr<arena>> list{};

    static open_arenas& of_this_process() {
        static std::atomic<open_arenas*> current{nullptr};
        auto* found = current.load();
        while (found == nullptr || found->made_in != detail::fork_generation()) {
            auto fresh = std::make_unique<open_arenas>();
            if (current.compare_exchange_strong(found, fresh.get())) found = fresh.release();
        }
        return *found;
    }
};

arena_file* map(const locked_file& file, const std::filesystem::path& path) {
    constexpr auto size = static_cast<off_t>(sizeof(arena_file));
    if (file.size() < size && ftruncate(file.fd(), size) != 0) fail("cannot enlarge", path, errno);
    // Allocated now, so that a full disk is an error here and not a SIGBUS later.
    if (const int why = posix_fallocate(file.fd(), 0, size); why != 0) fail("cannot allocate", path, why);
    void* address = mmap(nullptr, sizeof(arena_file), PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
    if (address == MAP_FAILED) fail("cannot map", path, errno);
    return static_cast<arena_file*>(address);
}

// New, or left from another boot, after which nobody lives who could be using it.
void prepare(arena_file& f, const std::filesystem::path& path) {
    std::array<char, 48> boot{};
    boot_id().copy(boot.data(), boot.size() - 1);
    const auto magic = f.magic.load();
    if (magic == arena_file::current_magic && f.boot == boot) return;
    if (magic != 0 && magic != arena_file::current_magic && f.boot == boot)
        throw connection_error{path.string() +
                                   " was made by another version of rowlock; stop the programs that use "
                                   "it, delete it, and start again",
                               {.backend = "sqlite"}};
    f.magic = 0;
    std::memset(static_cast<void*>(&f.id), 0, sizeof f - offsetof(arena_file, id));
    f.id = random_id();
    f.boot = boot;
    f.magic = arena_file::current_magic;
}

}  // namespace

std::shared_ptr<arena> arena::open(const std::filesystem::path& database, deadline d) {
    auto path = database;
    path += "-rowlock";
    struct stat like {};
    if (stat(database.c_str(), &like) != 0) fail("cannot look at", database, errno);

    auto& known = open_arenas::of_this_process();
    const std::lock_guard lock{known.mutex};
    const locked_file file{path, like, d};
    auto& slot = known.list[file.identity()];
    if (auto open = slot.lock()) return open;

    auto* mapped = map(file, path);
    std::shared_ptr<arena> fresh{new arena{mapped}, detail::delete_unless_forked{}};
    prepare(*mapped, path);
    fresh->claim(path);
    slot = fresh;
    return fresh;
}

arena::arena(arena_file* mapped) : file_{mapped} {}

arena::~arena() {
    presence_.reset();
    munmap(file_, sizeof(arena_file));
}

void arena::claim(const std::filesystem::path& path) {
    auto* const free = std::find_if(file_->slots.begin(), file_->slots.end(),
                                    [](const presence_slot& s) { return !presence_slot::is_alive(s.life.load()); });
    if (free == file_->slots.end())
        throw connection_error{std::to_string(file_->slots.size()) + " processes use " + path.string() +
                                   " already; there is no room for more",
                               {.backend = "sqlite"}};
    self_ = {file_->id, free - file_->slots.begin(), random_id()};
    presence_ = std::make_unique<presence>(*free, self_.incarnation, [this] { raise_alarm(); });
}

bool arena::sees(const process_mark& p) const noexcept {
    return p.arena == self_.arena && p.slot >= 0 && p.slot < static_cast<std::int64_t>(file_->slots.size());
}

bool arena::may_live(const process_mark& p) const noexcept {
    if (!sees(p)) return true;
    // In this order: a new owner clears the incarnation before it marks its life.
    const auto& slot = file_->slots[static_cast<std::size_t>(p.slot)];
    const auto life = slot.life.load();
    return slot.incarnation.load() == p.incarnation && presence_slot::is_alive(life);
}

futex_word& arena::word_of(const request_id& id) const noexcept {
    return file_->bells[(id.provider + id.number) % file_->bells.size()];
}

void arena::ring(const request_id& id) noexcept {
    auto& word = word_of(id);
    word.fetch_add(1);
    futex_wake_all(word);
}

void arena::wait(const request_id& id, std::uint32_t seen, std::span<const process_mark> processes,
                 deadline until) const {
    std::array<futex_wait, max_futex_waits> waits{};
    std::size_t count = 0;
    waits[count++] = {&word_of(id), seen};
    for (const auto& p : processes) {
        if (!sees(p)) continue;
        const auto& life = file_->slots[static_cast<std::size_t>(p.slot)].life;
        if (std::any_of(waits.begin(), waits.begin() + count, [&](const auto& w) { return w.word == &life; })) continue;
        if (count == waits.size()) {  // more than the kernel watches at once
            until = std::min(until, deadline::after(1s));
            break;
        }
        const auto now = life.load();
        if (!may_live(p)) return;
        waits[count++] = {&life, now};
    }
    const auto used = std::span{waits}.first(count);
    futex_wait_any(used, until);
    // The kernel woke one of those who wait for this death; it is for that one to wake the others.
    for (const auto& w : used.subspan(1))
        if (!presence_slot::is_alive(w.word->load())) futex_wake_all(*w.word);
}

void arena::alarm(const process_mark& p) noexcept {
    if (!sees(p)) return;
    auto& word = file_->slots[static_cast<std::size_t>(p.slot)].alarm;
    word.fetch_add(1);
    futex_wake_all(word);
}

std::uint64_t arena::on_alarm(std::function<void()> what) {
    const std::lock_guard lock{alarms_mutex_};
    alarms_.emplace_back(++last_alarm_, std::move(what));
    return last_alarm_;
}

void arena::off_alarm(std::uint64_t key) {
    const std::lock_guard lock{alarms_mutex_};
    std::erase_if(alarms_, [&](const auto& a) { return a.first == key; });
}

void arena::raise_alarm() {
    const std::lock_guard lock{alarms_mutex_};
    for (const auto& [key, what] : alarms_) what();
}

}  // namespace rowlock::sqlite
