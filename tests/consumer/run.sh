#!/usr/bin/env bash
# Builds the program in main.cpp outside the tree against the library, and runs it.
#
# usage: run.sh pkgconfig|cmake|meson shared|static SOURCE_ROOT CACHE_DIR VERSION [BACK_END...]
#
# For pkgconfig and cmake the library is installed; for meson it is a subproject. CXX is the compiler. CACHE_DIR keeps
# the builds of the library, so that the variants share them and the next run is quick.
set -euo pipefail
tool=$1 kind=$2 source=$3 cache=$4 version=$5
back_ends=("${@:6}")
here=$source/tests/consumer
works='memory connection_error'
[[ " ${back_ends[*]} " == *' sqlite '* ]] || works='memory invalid_argument'
features=()
for back_end in "${back_ends[@]}"; do
    works+=" $back_end"
    features+=("-D$back_end=enabled")
done

fail() {
    printf 'consumer: %s\n' "$*" >&2
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/program" "$work/data"
cp "$here/main.cpp" "$work/program"
for template in CMakeLists.txt meson.build; do
    sed "s/@VERSION@/$version/" "$here/$template.in" >"$work/program/$template"
done

# Installs into $work/stage, afresh, so that a file which is no longer installed is missed; sets `prefix`.
install_library() {
    local build=$cache/$kind
    mkdir -p "$cache"
    exec {lock}>"$cache/$kind.lock"
    flock "$lock"
    if [[ ! -f $build/build.ninja ]]; then
        rm -rf "$build"
        meson setup "$build" "$source" --prefix=/opt/rowlock --libdir=lib --default-library="$kind" \
            --buildtype=plain -Dauto_features=disabled "${features[@]}"
    fi
    ninja -C "$build"
    DESTDIR=$work/stage meson install -C "$build" --no-rebuild --quiet
    exec {lock}>&-
    prefix=$work/stage/opt/rowlock
    libdir=$(dirname "$(find "$prefix" -name 'librowlock.*' -print -quit)")
    [[ -d $libdir ]] || fail 'no library was installed'
    if [[ $kind == shared ]]; then check_exports; fi
}

# What links with the library may link with an SQLiteCpp or libpqxx of its own choice as well; two copies must not meet.
# (Weak symbols are inline functions of their headers.)
check_exports() {
    ! nm -D --defined-only "$libdir/librowlock.so" | grep -E ' [TDBR] _ZN?K?(6SQLite|4pqxx)' ||
        fail 'the shared library gives away symbols of SQLiteCpp or libpqxx'
}

with_pkgconfig() {
    local flags static=()
    install_library
    if [[ $kind == static ]]; then static=(--static); fi
    query() { PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config --define-variable=prefix="$prefix" "$@"; }
    [[ $(query --modversion rowlock) == "$version" ]] || fail 'pkg-config tells another version'
    flags=$(query "${static[@]}" --cflags --libs rowlock)
    printf 'flags: %s\n' "$flags"
    # Both are lists of words.
    # shellcheck disable=SC2086
    $CXX -std=c++20 "$work/program/main.cpp" $flags -o "$work/consumer"
    program=$work/consumer
}

with_cmake() {
    install_library
    # The compiler's own variable CXX is read by cmake, too.
    cmake -G Ninja -S "$work/program" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix"
    cmake --build "$work/build"
    # A program that asks for a version that does not exist yet must be told.
    sed -i "s/find_package(rowlock $version/find_package(rowlock 999/" "$work/program/CMakeLists.txt"
    ! cmake -G Ninja -S "$work/program" -B "$work/refused" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null 2>&1 ||
        fail 'version 999 was found'
    program=$work/build/consumer
}

with_meson() {
    mkdir "$work/program/subprojects"
    # A copy without what was built: a subproject must not depend on it.
    mkdir "$work/program/subprojects/rowlock"
    tar -C "$source" --exclude='./build*' --exclude=./.git --exclude=./.cache -cf - . |
        tar -C "$work/program/subprojects/rowlock" -xf -
    meson setup "$work/build" "$work/program" --wrap-mode=forcefallback --default-library="$kind" --buildtype=plain \
        -Dauto_features=disabled "${features[@]/#-D/-Drowlock:}"
    ninja -C "$work/build"
    libdir=$work/build/subprojects/rowlock/lib
    program=$work/build/consumer
}

"with_$tool"

needs_library=no
if readelf -d "$program" | grep -q 'NEEDED.*librowlock'; then needs_library=yes; fi
case $kind-$needs_library in
    shared-no) fail 'the program was meant to use the shared library, and does not' ;;
    static-yes) fail 'the program was meant to carry the library, and needs the shared one' ;;
esac

got=$(LD_LIBRARY_PATH=$libdir "$program" "$work/data")
[[ $got == "$version $works" ]] || fail "the program should have said '$version $works', and said '$got'"
printf 'consumer: %s\n' "$got"
