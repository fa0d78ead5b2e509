#pragma once

// Everything of rowlock that has no third-party type in it.

#include <rowlock/boot_clock.hpp>
#include <rowlock/deadline.hpp>
#include <rowlock/doctor.hpp>
#include <rowlock/error.hpp>
#include <rowlock/fencing_token.hpp>
#include <rowlock/lock_handle.hpp>
#include <rowlock/lockable.hpp>
#include <rowlock/mutex.hpp>
#include <rowlock/observer.hpp>
#include <rowlock/options.hpp>
#include <rowlock/primitive.hpp>
#include <rowlock/provider.hpp>
#include <rowlock/schema.hpp>
#include <rowlock/semaphore.hpp>
#include <rowlock/shared_mutex.hpp>
#include <rowlock/status.hpp>
#include <rowlock/upgrade_mutex.hpp>
#include <rowlock/version.hpp>
