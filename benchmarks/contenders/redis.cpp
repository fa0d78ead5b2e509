#include <chrono>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

#include <hiredis/hiredis.h>

#include "back_ends.hpp"

// The lock that Redis's manual describes (https://redis.io/docs/latest/commands/set/#patterns): SET with NX and PX, and
// a script that deletes the key if it is still ours. Who finds it taken asks again after a millisecond.

namespace bench {
namespace {

constexpr auto release_script =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

class redis_lock final : public client {
public:
    redis_lock(const std::string& socket, const client_spec& s)
        : connection_{redisConnectUnix(socket.c_str()), &redisFree},
          key_{"rowlock-bench:" + s.lock},
          ttl_ms_{std::to_string(s.ttl_ms > 0 ? s.ttl_ms : 30'000)} {
        if (!connection_ || connection_->err != 0)
            throw std::runtime_error{"Redis at " + socket + ": " + (connection_ ? connection_->errstr : "no memory")};
        std::random_device random;
        value_ = std::to_string(random()) + "-" + std::to_string(random());
        script_ = ask("SCRIPT LOAD %s", release_script)->str;
    }
    void take() override {
        while (ask("SET %s %s NX PX %s", key_.c_str(), value_.c_str(), ttl_ms_.c_str())->type == REDIS_REPLY_NIL)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    void give_back() override { (void)ask("EVALSHA %s 1 %s %s", script_.c_str(), key_.c_str(), value_.c_str()); }

private:
    struct free_reply {
        void operator()(redisReply* r) const { freeReplyObject(r); }
    };
    template <class... T>
    std::unique_ptr<redisReply, free_reply> ask(const char* format, T... values) {
        std::unique_ptr<redisReply, free_reply> r{
            static_cast<redisReply*>(redisCommand(connection_.get(), format, values...))};
        if (!r) throw std::runtime_error{std::string{"Redis: "} + connection_->errstr};
        if (r->type == REDIS_REPLY_ERROR) throw std::runtime_error{std::string{"Redis: "} + r->str};
        return r;
    }

    std::unique_ptr<redisContext, decltype(&redisFree)> connection_;
    const std::string key_, ttl_ms_;
    std::string value_, script_;
};

}  // namespace

std::unique_ptr<client> redis_client(const std::string& rest, const client_spec& s) {
    return s.what == work::mutex ? std::make_unique<redis_lock>(rest, s) : nullptr;
}

}  // namespace bench
